#!/usr/bin/python3
"""make bench-runnel: the runtime beside Go: the same works in bench/runnel and in bench/peers/goroutines.

A work runs in a process of its own, cold first, then warm, ours and Go's in turn; what it added up must be the same. Both run with one
worker (GOMAXPROCS=1) and with two; where ours takes no two workers, those rows are skipped. Of the three programs Go's better setting counts.

Judged is the time on the wall. On a machine that others use too, the processor's time, which is told beside, says more."""

import json
import os
import statistics
import sys

from rows import HERE, Rows, number, rounds

import gopeer
from programs import build_folder, equal, run

WORKERS = (1, 2)
TAKES_NOT = 77  # so many workers
LONG = 120  # seconds of one run

# The row, ours, Go's, how often, the goals at one worker and at two.
OPERATIONS = (
    ("yield", "yield", "yield", 1000000, 1 / 8, 1 / 8),
    ("unbuffered ping-pong", "ping-pong", "ping-pong", 200000, 1 / 4, 1 / 4),
    ("buffered send and receive in one task", "buffered", "buffered", 1000000, 1 / 2, 0.8),
    ("producer and consumer", "pipe", "pipe", 1000000, 1 / 2, 0.8),
    ("4 senders, 4 receivers, one channel", "4x4", "4x4", 1000000, 1 / 2, 0.8),
    ("spawn and join", "spawn", "spawn", 200000, 1 / 5, 1 / 5),
    ("spawn of 1,000 and join", "spawn-batch", "spawn-batch", 200000, 1 / 5, 1 / 5),
    ("send, and select of two, one ready", "select", "select", 500000, 1 / 2, 1 / 2),
    ("select with default, one case", "default-one", "default-one", 2000000, 0.8, 0.8),
    ("the same by rn_rx_try_recv", "try", "default-one", 2000000, 0.8, 0.8),
    ("select with default, two cases", "default-two", "default-two", 1000000, 1 / 4, 1 / 4),
    ("timer arm and stop, Go's a new one each time", "timer", "timer", 500000, 1 / 5, 1 / 5),
    ("timer arm and stop, Go's the same one again", "timer-again", "timer-again", 500000, 1 / 5, 1 / 5),
)
PROGRAMS = (("prime sieve 500", "sieve", 500), ("fork-join fib 22", "fib", 22), ("skynet 100,000", "skynet", 100000))
FASTER = ("fib", "skynet")  # at two workers than at one
PARKED, MILLION = 100000, 1000000
MILLION_NEEDS = 7 << 30  # bytes
WAKES = 2000


def once(program, work, times, workers):
    done = run([program, "--workers", str(workers), work, str(times)], seconds=LONG)
    equal(done.returncode, 0, f"{os.path.basename(program)} {work}: {done.stderr}")
    return json.loads(done.stdout)


def workers_taken(program):
    """Which of WORKERS ours takes, and why not the others."""
    why = {}
    for n in WORKERS:
        done = run([program, "--workers", str(n), "yield", "1000"], seconds=LONG)
        if done.returncode == TAKES_NOT:
            why[n] = done.stderr.strip()
    return [n for n in WORKERS if n not in why], why


def processor(mine, go, scale, unit):
    ours, theirs = (statistics.median(r["cpu"] for r in runs) for runs in (mine, go))
    return f"processor: {number(ours * scale)} and {number(theirs * scale)} {unit}, ratio {ours / theirs:.2f}"


class Bench:
    def __init__(self):
        self.build = build_folder()
        self.ours = os.path.join(self.build, "bench/runnel/runnel-bench")
        self.go, self.no_go = gopeer.build(os.path.join(HERE, "peers/goroutines"), self.build)
        self.taken, self.not_taken = workers_taken(self.ours)
        self.rows = Rows("runnel", self.build)

    def side_by_side(self, ours, theirs, times, runs=3, go_workers=None):
        """{(who, workers): runs}, in turn."""
        def measure(program, work, workers):
            return lambda folder: once(program, work, times, workers)

        measures = {}
        for n in WORKERS:
            if n in self.taken:
                measures[f"runnel {n}"] = measure(self.ours, ours, n)
            if self.go and n in (go_workers or self.taken):
                measures[f"go {n}"] = measure(self.go, theirs, n)
        got = rounds(runs=runs, **measures)
        equal(len({r["sum"] for each in got.values() for r in each}), 1, f"sums of {ours}")
        return got

    def skip(self, name, n):
        """Is this row skipped?"""
        why = self.not_taken.get(n) or self.no_go
        if why:
            self.rows.skip(f"{name}, {n} worker{'s' * (n > 1)}", why)
        return bool(why)

    def operations(self):
        for name, ours, theirs, times, *goals in OPERATIONS:
            got = self.side_by_side(ours, theirs, times)
            for n, goal in zip(WORKERS, goals):
                if self.skip(name, n):
                    continue
                mine, go = got[f"runnel {n}"], got[f"go {n}"]
                self.rows.add(f"{name}, {n} worker{'s' * (n > 1)}", "ns", [r["warm"] for r in mine], ("<=", goal),
                              [r["warm"] for r in go], go[0]["by"], note=processor(mine, go, 1, "ns"))

    def programs(self):
        for name, work, times in PROGRAMS:
            got = self.side_by_side(work, work, times, go_workers=WORKERS)
            ms = {who: {key: [r[key] * times / 1e6 for r in runs] for key in ("warm", "cold")} for who, runs in got.items()}
            for n in WORKERS:
                if not self.skip(name, n):
                    better = min(WORKERS, key=lambda g: statistics.median(ms[f"go {g}"]["warm"]))
                    mine, go = ms[f"runnel {n}"], ms[f"go {better}"]
                    cold = f"cold: {number(statistics.median(mine['cold']))} and {number(statistics.median(go['cold']))} ms"
                    self.rows.add(f"{name}, {n} worker{'s' * (n > 1)}", "ms", mine["warm"], ("<=", 1 / 2), go["warm"],
                                  f"{got[f'go {better}'][0]['by']} at {better}",
                                  note=f"{cold}; {processor(got[f'runnel {n}'], got[f'go {better}'], times / 1e6, 'ms')}")
            if work in FASTER:
                speed = f"{name}, times faster at two workers than at one"
                if 2 in self.not_taken:
                    self.rows.skip(speed, self.not_taken[2])
                else:
                    pairs = zip(ms["runnel 1"]["warm"], ms["runnel 2"]["warm"])
                    self.rows.add(speed, "times", [one / two for one, two in pairs], (">=", 1.7))

    def memory(self):
        got = self.side_by_side("parked", "parked", PARKED)
        for n in self.taken:
            theirs = f"{got[f'go {n}'][0]['by']}: {number(statistics.median(r['cold'] for r in got[f'go {n}']))}" if self.go else None
            self.rows.add(f"a parked task, resident with its page tables, {n} worker{'s' * (n > 1)}", "bytes",
                          [r["cold"] for r in got[f"runnel {n}"]], ("<=", 4608), note=theirs)
        with open("/proc/meminfo", encoding="ascii") as f:
            free = next(int(line.split()[1]) * 1024 for line in f if line.startswith("MemAvailable:"))
        for n in self.taken:
            row = f"one of a million parked tasks, all woken and ended, {n} worker{'s' * (n > 1)}"
            if free < MILLION_NEEDS:
                self.rows.skip(row, f"{free >> 20} MiB are free")
            else:
                self.rows.add(row, "bytes", [once(self.ours, "parked", MILLION, n)["cold"]], ("<=", 4608))

    def wakes(self):
        got = rounds(runs=5, ours=lambda folder: once(self.ours, "wake", WAKES, 1)["warm"],
                     bare=lambda folder: once(self.ours, "wake-bare", WAKES, 1)["warm"])
        self.rows.add("a thread wakes an idle worker", "ns", got["ours"], ("<=", 1.3), got["bare"], "eventfd and epoll_wait")


def main():
    bench = Bench()
    bench.operations()
    bench.programs()
    bench.memory()
    bench.wakes()
    return 0 if bench.rows.finish() else 1


if __name__ == "__main__":
    sys.exit(main())
