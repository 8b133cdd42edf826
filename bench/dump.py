#!/usr/bin/python3
"""make bench-dump: how long the dump of all stacks of 130,000 leaked tasks takes, from the request to the last byte, while another
task of the program ticks on."""

import os
import re
import sys
import time
import urllib.request

from rows import Rows, rounds

from programs import build_folder, equal, until
from story import Served

TASKS = 130000
TICK = 0.1  # of the ticker, seconds
BLOCK = 1 << 20


def dump(folder):
    """Seconds."""
    with Served(folder, "leak", [os.path.join(build_folder(), "leak"), "--tasks", str(TASKS), "--debug", "127.0.0.1:0"]) as p:
        until("all of them wait", lambda: re.search(r"^heartbeats .* tasks waiting \d+$", p.out, re.MULTILINE))
        text, ticks = [], p.out.count("tick")
        start = time.monotonic()
        with urllib.request.urlopen(f"http://{p.at['debug']}/debug/pprof/goroutine?debug=2", timeout=60) as answer:
            while block := answer.read(BLOCK):
                text.append(block)
        took = time.monotonic() - start
        equal(b"".join(text).count(b"\nsend_metrics(...)\n"), TASKS, "stacks in the dump")
        assert p.out.count("tick") > ticks or took < 2 * TICK, "nothing else ran meanwhile"
        return took


def main():
    rows = Rows("dump", build_folder())
    rows.add("a dump of 130,000 stacks", "s", rounds(dump=dump)["dump"], ("<=", 1))
    return 0 if rows.finish() else 1


if __name__ == "__main__":
    sys.exit(main())
