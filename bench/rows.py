"""Rows of a benchmark: medians of several runs, a line for people, a JSON line for tools."""

import json
import os
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../test/e2e"), os.path.join(HERE, "../test/tools"), os.path.join(HERE, "../test/stories"), HERE]


RUNS = 3


def cpu_of(pid):
    """User and system seconds of a process, all threads."""
    return time.clock_gettime((~pid) << 3 | 2)


def rounds(runs=RUNS, **measures):
    """Each measure so many times, in turn, so that a busy moment of the machine falls on all: {name: values}."""
    out = {name: [] for name in measures}
    for _ in range(runs):
        for name, measure in measures.items():
            with tempfile.TemporaryDirectory() as folder:
                out[name].append(measure(folder))
    return out


def number(v):
    return f"{v:.0f}" if abs(v) >= 100 else f"{v:.3g}"


class Rows:
    """All rows of one benchmark. A goal is ("<=" or ">=", bound): on the ratio where there is a peer, else on our value."""

    def __init__(self, name, build):
        self.name, self.rows = name, []
        self.path = os.path.join(build, "bench", name + ".jsonl")
        os.makedirs(os.path.dirname(self.path), exist_ok=True)

    def add(self, row, unit, ours, goal, peer=None, peer_name=None, note=None):
        """`ours` and `peer` are lists of runs; `note` is told beside and not judged."""
        ours = statistics.median(ours)
        peer = statistics.median(peer) if peer else None
        ratio = ours / peer if peer else None
        judged = ours if ratio is None else ratio
        sign, bound = goal
        met = judged <= bound if sign == "<=" else judged >= bound
        self.rows.append({"row": row, "unit": unit, "ours": ours, "peer": peer, "peer_name": peer_name, "ratio": ratio,
                          "goal": f"{sign}{number(bound)}" + (f" {unit}" if ratio is None else ""), "met": met, **({"note": note} if note else {})})

    def skip(self, row, why):
        self.rows.append({"row": row, "skipped": why})

    def finish(self):
        """Print, write, and say whether every goal was met."""
        with open(self.path, "w") as f:
            for r in self.rows:
                f.write(json.dumps(r) + "\n")
        for r in self.rows:
            print(self.line(r))
        sys.stdout.flush()
        return all(r.get("met", True) for r in self.rows)

    @staticmethod
    def line(r):
        if "skipped" in r:
            return f"{r['row']}: skipped: {r['skipped']}"
        verdict = ("met" if r["met"] else "missed") + (f"; {r['note']}" if "note" in r else "")
        ours = f"{r['row']}: ours {number(r['ours'])} {r['unit']}"
        if r["peer"] is None:
            return f"{ours}, goal {r['goal']}: {verdict}"
        return f"{ours}, {r['peer_name']} {number(r['peer'])} {r['unit']}, ratio {r['ratio']:.2f}, goal {r['goal']}: {verdict}"
