"""The first story: a reactor server under a flood keeps its listener, whatever becomes of its descriptors and memory; and if
somebody takes the socket away all the same, it says so."""

import json
import os
import re
import shutil
import socket

from story import Served, client, load, tap, until

from programs import build_folder, contains, equal

CLIENTS = 1000
DESCRIPTORS = 300  # of the server: far fewer than clients
STATE_LISTEN = "0A"


def listening(address):
    """The inode of the socket that listens at 127.0.0.1:PORT, from the kernel's own table; None: nobody does."""
    host, port = address.rsplit(":", 1)
    wanted = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{int(port):04X}"
    with open("/proc/net/tcp") as f:
        for line in f.readlines()[1:]:
            words = line.split()
            if words[1] == wanted and words[3] == STATE_LISTEN:
                return int(words[9])
    return None


def owned(pid):
    """The inodes of the sockets of a process."""
    found = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            continue
        if link.startswith("socket:["):
            found.add(int(link[8:-1]))
    return found


def trims(log):
    """{pool: items given back to the system}, of a program under RN_DEBUG=memtrace=1,trim=1, none of whose pools kept anything."""
    found = {}
    for pool, back, state in re.findall(r"^memtrace @\S+ echo: (\w+)[^:]*: \+\d+ -(\d+), (.*)$", log, re.MULTILINE):
        found[pool] = found.get(pool, 0) + int(back)
        assert re.search(r"\b0 (warm|spare),", state), f"{pool} kept some: {state}"
    return found


def listeners(p):
    """/debug/listeners by name."""
    a = client.request(p.at["debug"], "GET", "/debug/listeners?format=json")
    equal(a.status, 200, repr(a))
    return {row["listener"]: row for row in a.json["listeners"]}


class VanishedListener(tap.Tests):
    def echo(self, *options, descriptors=None, env=None):
        argv = [f"{build_folder()}/echo", "--listen", "127.0.0.1:0", "--debug", "127.0.0.1:0", *options]
        if descriptors and not shutil.which("prlimit"):
            raise tap.Skip("no prlimit")
        return Served(self.dir, "echo", argv, env, wrap=["prlimit", f"--nofile={descriptors}"] if descriptors else [])

    def flood(self, p, *options):
        """All clients served, every answer right; what the flood counted."""
        code, out, err = load("flood", "--server", p.at["echo"], "--json", *options)
        equal(code, 0, f"{err} {out} {p.err[-1500:]}")
        return json.loads(out.splitlines()[-1])

    def test_the_listener_outlives_a_flood_that_takes_all_descriptors_while_memory_is_trimmed(self):
        with self.echo("--churn", "5ms", descriptors=DESCRIPTORS, env={"RN_DEBUG": "memtrace=1,trim=1"}) as p:
            before = listening(p.at["echo"])
            assert before in owned(p.pid), before
            rounds = 3
            seen = self.flood(p, "--clients", str(CLIENTS), "--rounds", str(rounds), "--frames", "20", "--size", "3000", "--window",
                              "4", "--duration", "120s")
            equal(seen["clients_done"], CLIENTS)
            equal(seen["wrong"], 0)
            assert seen["frames"] >= CLIENTS * rounds * 20, seen
            m = p.metrics()
            assert m.sum("rnet_accept_pauses_total", reason="emfile") > 0, "the descriptors were never exhausted"
            back = trims(p.err)
            assert back["stacks"] > 1000 and back["buffers"] > 1000, back
            equal(m.sum("rnet_listener_up", listener="echo"), 1)
            row = listeners(p)["echo"]
            equal((row["state"], row["inode"], row["verdict"]), ("LISTEN", before, "ok"))
            equal(listening(p.at["echo"]), before, "the listening socket is another one")
            assert before in owned(p.pid), "the server does not hold its listener"
            again = self.flood(p, "--clients", str(CLIENTS), "--frames", "5", "--duration", "120s")
            equal((again["clients_done"], again["wrong"]), (CLIENTS, 0))

    def test_a_raw_close_behind_the_library_is_seen_and_said(self):
        with self.echo("--lose", "300ms") as p:
            equal(p.metrics().sum("rnet_listener_up", listener="echo"), 1)
            until("the metric says that the listener is lost",
                  lambda: p.metrics().sum("rnet_listener_up", listener="echo") == 0, seconds=10)
            until("the log says it", lambda: "a listener is lost" in p.err, seconds=10)
            contains(p.err, "echo", p.at["echo"])
            row = listeners(p)["echo"]
            equal((row["state"], row["ok"], row["address"]), ("LOST", False, p.at["echo"]))
            text = client.request(p.at["debug"], "GET", "/debug/listeners").body.decode()
            contains(next(line for line in text.splitlines() if p.at["echo"] in line), " LOST ", " RED: ", row["verdict"])
            equal(listening(p.at["echo"]), None)


if __name__ == "__main__":
    tap.main(VanishedListener)
