"""What the stories share: the end-to-end tools, and small programs of ours that say where they listen."""

import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../e2e"), os.path.join(HERE, "../tools"), HERE]

import tap  # noqa: E402,F401
import client  # noqa: E402
from programs import Program, build_folder, run, until  # noqa: E402


def tasks(n):
    """`n`, scaled as the tests in C scale it: TEST_TASKS is the count instead of 100,000."""
    scale = float(os.environ.get("TEST_TASKS", 100000)) / 100000
    return max(100, int(n * scale))


def sanitized():
    """Memory means nothing under a sanitizer."""
    with open(f"{build_folder()}/fettled", "rb") as f:
        text = f.read()
    return b"__asan_init" in text or b"__tsan_init" in text


class Served(Program):
    """A program that prints `listening name=ADDR ...`; the addresses are in `at`."""

    def __init__(self, folder, name, argv, env=None, wrap=()):
        super().__init__(folder, name, [*wrap, *argv], env)

        def said():
            if not self.runs():
                raise AssertionError(f"{name} ended with {self.child.returncode}: {self.err[-1500:]}")
            return re.search(r"^listening (.*)$", self.out, re.MULTILINE)
        words = until(f"{name} says where it listens", said)[1].split()
        self.at = dict(w.split("=", 1) for w in words)

    def metrics(self):
        a = client.request(self.at["debug"], "GET", "/metrics")
        assert a.status == 200, a
        return client.Metrics(a.body.decode())

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if not self.runs():
            return
        if kind is None:
            code = self.stop()
            assert code == 0, f"exit code of {self.name}: {code}: {self.err[-1500:]}"
        else:
            self.kill()


def load(*args, seconds=300):
    """fettle-load, to its end: (exit code, stdout, stderr)."""
    r = run([f"{build_folder()}/fettle-load", *args], seconds=seconds)
    return r.returncode, r.stdout, r.stderr
