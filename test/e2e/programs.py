"""Real processes: started with a log each, waited for by looking at states, ended by pid.

A test never sleeps for luck: `until()` looks at a state again and again. Its bound is a ceiling, at least three times what is
promised, and costs nothing when all is well.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PYTHON = "/usr/bin/python3"
CEILING = 40.0
PR_SET_CHILD_SUBREAPER = 36


def build_folder():
    """Where the programs lie: the first argument, else what Meson says."""
    folder = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MESON_BUILD_ROOT", os.path.join(HERE, "../../build"))
    return os.path.abspath(folder)


def become_subreaper():
    """Whatever a program of ours leaves behind becomes our child, so that it can be seen."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def until(what, look, seconds=CEILING, step=0.02):
    """Wait until look() is true, and return what it said. `what` is the sentence of the failure. A look that cannot see yet (the
    peer is away, a field is missing) counts as "not yet"."""
    end = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = look()
        except (OSError, EOFError, KeyError, IndexError, ValueError) as e:
            last = e
        else:
            if last:
                return last
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; last seen: {last!r}")
        time.sleep(step)


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what or 'value'}: got {got!r}, wanted {wanted!r}")


def contains(text, *parts):
    for p in parts:
        if p not in text:
            raise AssertionError(f"{p!r} does not stand in {text!r}")


class Program:
    """A process with its output in files. `out` and `err` are read from the disk each time."""

    def __init__(self, folder, name, argv, env=None, cwd=None):
        self.name, self.argv = name, argv
        self.out_path, self.err_path = os.path.join(folder, name + ".out"), os.path.join(folder, name + ".err")
        with open(self.out_path, "wb") as out, open(self.err_path, "ab") as err:
            self.err_start = err.tell()
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd or folder,
                                          env={**os.environ, **(env or {})})
        self.killed = False

    @property
    def pid(self):
        return self.child.pid

    @property
    def out(self):
        with open(self.out_path, errors="replace") as f:
            return f.read()

    @property
    def err(self):
        """What this run said, not what earlier ones of the same name did."""
        with open(self.err_path, "rb") as f:
            f.seek(self.err_start)
            return f.read().decode(errors="replace")

    def runs(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def kill(self):
        """kill -9, and reap."""
        self.killed = True
        if self.runs():
            self.child.kill()
        self.child.wait()

    def wait(self, seconds=CEILING):
        """The exit code."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} still runs after {seconds:.0f} s; it said: {self.err[-1500:]}") from None

    def stop(self, seconds=CEILING):
        """TERM, and the exit code."""
        if self.runs():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
        return self.wait(seconds)


def run(argv, env=None, cwd=None, seconds=CEILING):
    """A program that ends by itself: subprocess's result, output as text."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, **(env or {})}, cwd=cwd,
                          timeout=seconds, check=False)


def children_of(pid):
    """Living children as (pid, command line)."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as f:
                state, parent = f.read().rsplit(b")", 1)[1].split()[:2]
            with open(f"/proc/{name}/cmdline", "rb") as f:
                command = f.read().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if int(parent) == pid and state not in (b"Z", b"X"):
            found.append((int(name), command))
    return found


def reap_orphans(known):
    """Collect the ends of processes that were left to us; `known` are those that somebody else waits for."""
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) in known:
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as f:
                state, parent = f.read().rsplit(b")", 1)[1].split()[:2]
            if int(parent) == os.getpid() and state == b"Z":
                os.waitpid(int(name), os.WNOHANG)
        except (OSError, ChildProcessError):
            continue
