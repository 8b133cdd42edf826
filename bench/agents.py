#!/usr/bin/python3
"""make bench-agents: what 2,000 agents cost fettled.

A heartbeat with one sample, answered as fast as it comes: into no exporter, and into SQLite; beside a server on Go's OpAMP
library (heartbeats without samples, over WebSocket) and a bare epoll loop. Then: one configuration to all, until the server shows
each APPLIED; and the memory of a connected agent."""

import json
import os
import resource
import sys
import time

from rows import HERE, Rows, cpu_of, rounds

import gopeer
import story
from fleet import Fleet
from programs import Program, build_folder, equal, run, until
from story import Served, load

AGENTS = 2000
HEARTBEATS = 400000
UNIT = "per core-second"
SQLITE = "[{name: local, type: sqlite, path: metrics.db, required: true}]"


def beat(address, pid, heartbeats):
    """Heartbeats with one sample, as fast as answered: the end of fettle-load's report."""
    code, out, err = load("agents", "--server", address, "--agents", str(AGENTS), "--connect-rate", "0", "--interval", "0s",
                          "--heartbeats", str(heartbeats), "--duration", "5m", "--pid", str(pid), "--json", seconds=400)
    equal(code, 0, err)
    end = json.loads(out.splitlines()[-1])
    equal((end["heartbeats_answered"], end["samples_sent"], end["lost"]), (heartbeats, heartbeats, 0))
    return end


def ledger(server):
    """Of the one exporter there is."""
    return next(iter(server.exporters().values()))["ledger"]


def fettled(folder, exporters, heartbeats):
    """Heartbeats per core-second of fettled, the work of its lanes included."""
    with Fleet(folder) as f:
        roomy = "metrics: {lane: {batches_max: 1000000, bytes_max: 1GiB}}" if exporters != "[]" else ""  # nothing is to be dropped
        s = f.start_server(heartbeat="60s", exporters=exporters, more=roomy)
        before = cpu_of(s.pid)
        beat(s.agents_at, s.pid, heartbeats)
        until("the lane is empty", lambda: ledger(s)["queued"] + ledger(s)["in_flight"] == 0, seconds=120, step=0.2)
        used = cpu_of(s.pid) - before
        books = ledger(s)
        equal(books["offered"], heartbeats)
        equal(books["delivered"] if exporters != "[]" else books["dropped"]["no_exporter"], heartbeats, "samples decided")
        return heartbeats / used


def epoll_loop(folder):
    """The same load on the bare loop."""
    program = os.path.join(build_folder(), "peers", "epoll")
    os.makedirs(os.path.dirname(program), exist_ok=True)
    done = run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program, os.path.join(HERE, "peers/epoll.c")])
    equal(done.returncode, 0, done.stderr)
    p = Served(folder, "epoll", [program])
    try:
        before = cpu_of(p.pid)
        beat(p.at["agents"], p.pid, HEARTBEATS)
        return HEARTBEATS / (cpu_of(p.pid) - before)
    finally:
        p.kill()


def opamp_go(folder, program):
    """Heartbeats without samples against the server on Go's library, by clients in Go."""
    p = Served(folder, "opamp", [program, "serve"])
    try:
        before = cpu_of(p.pid)
        done = run([program, "load", p.at["opamp"], str(AGENTS), str(HEARTBEATS)], seconds=300)
        equal(done.stdout.split()[-1:], [str(HEARTBEATS)], done.stderr)
        return HEARTBEATS / (cpu_of(p.pid) - before)
    finally:
        p.kill()


def applied_by_all(server):
    return server.metrics().sum("fettle_config_status", status="APPLIED") >= AGENTS


def configuration(folder):
    """Seconds from the PUT until the server shows every agent APPLIED; and bytes of memory for a connected agent."""
    with Fleet(folder) as f:
        s = f.start_server(heartbeat="60s", exporters="[]")
        p = Program(folder, "load", [f"{build_folder()}/fettle-load", "agents", "--server", s.agents_at, "--agents", str(AGENTS),
                                     "--connect-rate", "0", "--interval", "60s", "--duration", "60s", "--pid", str(s.pid), "--json"])
        try:
            event = json.loads(until("all are connected", lambda: p.out.splitlines()[:1])[0])
            equal(event["event"], "connected")
            s.push_call(b"level = zero\n")  # the first one also makes the configuration and the group's first version
            until("the first is applied", lambda: applied_by_all(s), step=0.01)
            before = s.pushes()
            start = time.monotonic()
            wanted = s.push(b"level = one\n" * 64)["hash"]
            until("all have it", lambda: s.pushes() - before >= AGENTS and applied_by_all(s), step=0.005)
            took = time.monotonic() - start
            agents = [a for a in all_agents(s) if a["config"]["applied_hash"] == wanted and a["config"]["status"] == "APPLIED"]
            equal(len(agents), AGENTS, "agents that show APPLIED")
        finally:
            p.stop()
        return took, (event["rss_anon"] - event["rss_anon_before"]) / AGENTS


def all_agents(server):
    """Every page of the list."""
    cursor, found = None, []
    while True:
        page = server.get("/api/v1/agents?limit=500" + (f"&cursor={cursor}" if cursor else ""))
        found += page["items"]
        cursor = page["next"]
        if not cursor:
            return found


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
    rows = Rows("agents", build_folder())
    program, why = gopeer.build(os.path.join(HERE, "peers/opamp"), build_folder())
    measures = {"loop": epoll_loop,
                "none": lambda folder: fettled(folder, "[]", HEARTBEATS),
                "sqlite": lambda folder: fettled(folder, SQLITE, HEARTBEATS // 2),
                "push": configuration}
    if program:
        measures["go"] = lambda folder: opamp_go(folder, program)
    got = rounds(**measures)
    loop, none, sqlite = got["loop"], got["none"], got["sqlite"]
    # The goals as ratios are the absolute ones over what the peers did on the machine where they were set.
    rows.add("heartbeats with a sample, no exporter", UNIT, none, (">=", 100000))
    rows.add("heartbeats with a sample, no exporter, beside a loop", UNIT, none, (">=", 0.58), loop, "a bare epoll loop")
    rows.add("heartbeats with a sample into SQLite", UNIT, sqlite, (">=", 45000))
    rows.add("heartbeats with a sample into SQLite, beside a loop", UNIT, sqlite, (">=", 0.26), loop, "a bare epoll loop")
    if program:
        rows.add("heartbeats, ours with a sample", UNIT, none, (">=", 1.57), got["go"], "opamp-go")
    else:
        rows.skip("heartbeats, ours with a sample", why)
    rows.add("a configuration to 2,000 agents and APPLIED", "s", [t for t, _ in got["push"]], ("<=", 1))
    rows.add("memory of a connected agent", "bytes", [m for _, m in got["push"]], ("<=", 2048))
    return 0 if rows.finish() else 1


if __name__ == "__main__":
    sys.exit(main())
