"""strace -c of threads that run already: the table, by name of the call."""

import collections
import os
import shutil
import signal
import subprocess
import threading

from programs import until

Row = collections.namedtuple("Row", "calls errors")
NONE = Row(0, 0)


def read_table(text, before):
    """{call: Row} of a table as strace prints it, with so many columns before that of the calls."""
    table = {}
    for line in text.splitlines():
        words = line.split()
        if not before + 2 <= len(words) <= before + 3 or words[-1] == "total" or not words[before].isdigit():
            continue
        table[words[-1]] = Row(int(words[before]), int(words[before + 1]) if len(words) == before + 3 else 0)
    return table


class Counted:
    """A with-block under strace. Attached when the block begins, detached at its end, both while the program is idle; then
    `table` is {call: Row} and `text` what strace printed. Threads are counted only if `follow`. `own` is for what the program counted."""

    def __init__(self, folder, pid, follow=False, idle=lambda: True):
        self.path = os.path.join(folder, f"strace-{pid}")
        self.argv = [shutil.which("strace"), "-c", "-U", "calls,errors,name", "-o", self.path, *(["-f"] if follow else []), "-p", str(pid)]
        self.pid, self.follow, self.idle = pid, follow, idle
        self.table, self.own, self.text, self.said = {}, {}, "", []

    def attached(self):
        threads = os.listdir(f"/proc/{self.pid}/task") if self.follow else [str(self.pid)]

        def traced(tid):
            with open(f"/proc/{self.pid}/task/{tid}/status") as f:
                return "TracerPid:\t0\n" not in f.read()
        return all(traced(t) for t in threads)

    def __enter__(self):
        self.child = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # Its words are read all the time: it must never wait for us while the traced threads wait for it.
        self.reader = threading.Thread(target=lambda: self.said.extend(self.child.stderr))
        self.reader.start()

        def attached():
            if self.child.poll() is not None:
                raise AssertionError(f"strace ended: {''.join(self.said)}")
            return self.attached()
        until("strace is attached", attached)
        return self

    def __exit__(self, *_):
        self.child.send_signal(signal.SIGINT)
        self.child.wait(30)
        self.reader.join()
        self.child.stderr.close()
        with open(self.path) as f:
            self.text = f.read()
        self.table = read_table(self.text, 0)

    def calls(self):
        return sum(r.calls for r in self.table.values())

    def row(self, *names):
        """The sum of the rows of these calls."""
        rows = [self.table.get(n, NONE) for n in names]
        return Row(sum(r.calls for r in rows), sum(r.errors for r in rows))
