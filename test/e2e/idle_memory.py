#!/usr/bin/python3
"""What an idle agent costs the server in memory of its own: idle_memory.py BUILD [--idle SECONDS] [--few N] [--many N]

Holds framed-TCP connections from this process, each introduced as a real agent is (description, labels, health, effective configuration,
status, the heartbeat taken), lets them be idle, and reads RssAnon of fettled with few and with many. Their heartbeat is long, so that idle
means idle. Prints both numbers and the difference per connection.
"""

import argparse
import os
import resource
import sys
import tempfile
import time

import opamp
from fleet import TEXT, Fleet
from opamp import APPLIED, config_status

BODY = b"path = /var/log/syslog\ncontains = error\n" * 10


def rss_anon(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("RssAnon:"))


def introduce(server, n, config_hash):
    p = server.peer()
    names = {"host.name": f"host-{n:05}.example.net", "host.arch": "x86_64", "os.type": "linux", "os.version": "6.1.0-28-amd64",
             "fettle.label.env": ("prod", "stage", "dev")[n % 3], "fettle.label.site": f"site-{n % 50}"}
    own = {"service.name": "shipper", "service.instance.id": p.name, "service.version": "0.1.0"}
    reply = p.ask(opamp.description(own, names), opamp.health(), opamp.effective({"shipper.conf": (TEXT, BODY)}),
                  config_status(config_hash, APPLIED), opamp.custom_capabilities(opamp.METRICS))
    while not reply.settings:
        reply = p.ask()
    p.ask(opamp.settings_status(reply.settings[1][0], APPLIED))
    return p


def measure(server, peers, count, idle, config_hash):
    while len(peers) < count:
        peers.append(introduce(server, len(peers), config_hash))
    end = time.monotonic() + idle
    while time.monotonic() < end:
        time.sleep(1)
    online = len([1 for p in peers if p.socket.fileno() >= 0])
    shown = int(server.metrics().sum("rnet_connections", listener="agents"))
    if shown != online:
        sys.exit(f"{online} connections are held here, the server has {shown}")
    rss = rss_anon(server.pid)
    print(f"{count:6} connections: RssAnon {rss:>12,} bytes", flush=True)
    return rss


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--idle", type=float, default=60, help="seconds before each look (60)")
    parser.add_argument("--few", type=int, default=200)
    parser.add_argument("--many", type=int, default=2000)
    o = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, o.many + 1000), hard))
    with tempfile.TemporaryDirectory() as folder, Fleet(folder) as f:
        server = f.start_server(heartbeat="1h", exporters="[{name: local, type: sqlite}]")
        config_hash = bytes.fromhex(server.push(BODY, "shipper.conf")["hash"])
        peers = []
        few = measure(server, peers, o.few, o.idle, config_hash)
        many = measure(server, peers, o.many, o.idle, config_hash)
        each = (many - few) / (o.many - o.few)
        print(f"{each:.0f} bytes per connection (goal <= 4096: {'met' if each <= 4096 else 'missed'})")
        for p in peers:
            p.close()


if __name__ == "__main__":
    os.chdir("/")
    main()
