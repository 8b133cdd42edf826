#!/usr/bin/python3
"""make bench-exporters: what a sample costs fettled on its way into an exporter that speaks HTTP.

Simulated agents send heartbeats with many samples each; a sink on the loopback takes what the exporter sends and answers as the real
server does. Counted is all processor time of fettled, from the agents' sockets to the sink's answer, until every sample is delivered."""

import json
import os
import sys

from rows import HERE, Rows, cpu_of, rounds

from fleet import Fleet
from programs import build_folder, equal, run, until
from story import Served, load

AGENTS = 200
SAMPLES = 50  # of a heartbeat
HEARTBEATS = 20000
ROOMY = "metrics: {lane: {batches_max: 1000000, bytes_max: 2GiB}}"  # nothing is to be dropped


def sink(folder):
    program = os.path.join(build_folder(), "peers", "sink")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    done = run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, os.path.join(HERE, "peers/sink.c")])
    equal(done.returncode, 0, done.stderr)
    return Served(folder, "sink", [program])


def delivered(server):
    """The ledger of the exporter, once it holds nothing."""
    ledger = server.exporters()["far"]["ledger"]
    return ledger if ledger["queued"] + ledger["in_flight"] == 0 else None


def through(folder, exporter):
    """Samples per core-second of fettled."""
    with Fleet(folder) as f:
        s = sink(folder)
        f.helpers.append(s)
        server = f.start_server(heartbeat="60s", exporters=f"[{{name: far, {exporter % s.at['http']}}}]", more=ROOMY)
        until("the exporter is open", lambda: server.exporters()["far"]["state"] == "ok")
        before = cpu_of(server.pid)
        code, out, err = load("agents", "--server", server.agents_at, "--agents", str(AGENTS), "--connect-rate", "0", "--interval",
                              "0s", "--samples", str(SAMPLES), "--heartbeats", str(HEARTBEATS), "--duration", "5m", "--json",
                              seconds=400)
        equal(code, 0, err)
        sent = json.loads(out.splitlines()[-1])["samples_sent"]
        equal(sent, HEARTBEATS * SAMPLES)
        ledger = until("every sample is decided", lambda: delivered(server), seconds=120, step=0.1)
        used = cpu_of(server.pid) - before
        equal((ledger["offered"], ledger["delivered"]), (sent, sent))
        return sent / used


def main():
    rows = Rows("exporters", build_folder())
    got = rounds(ndjson=lambda folder: through(folder, 'type: elasticsearch, url: "http://%s"'),
                 lines=lambda folder: through(folder, 'type: influxdb, url: "http://%s", database: fettle, gzip: false'),
                 packed=lambda folder: through(folder, 'type: influxdb, url: "http://%s", database: fettle'))
    for name, what in (("ndjson", "samples as NDJSON to a sink"), ("lines", "samples as line protocol to a sink"),
                       ("packed", "samples as line protocol, gzipped, to a sink")):
        rows.add(what, "per core-second", got[name], (">=", 150000))
    return 0 if rows.finish() else 1


if __name__ == "__main__":
    sys.exit(main())
