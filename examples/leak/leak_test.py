"""The leaking program in its three forms, looked at as its operator would."""

import os
import re
import signal
import subprocess
import sys
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
sys.path[:0] = [os.path.join(ROOT, "test/stories")]

import gopeer  # noqa: E402
from story import tap, tasks  # noqa: E402
from programs import Program, build_folder, contains, equal, until  # noqa: E402

SANITIZED = os.environ.get("LEAK_SANITIZED", "")
TASKS = max(tasks(130000), 200)
if SANITIZED:
    TASKS = min(TASKS, 5000)  # as many fibers as TSan has room for


class Leak:
    """The program, its window, and its end."""

    def __init__(self, folder, form, tasks=TASKS):
        self.tasks = tasks
        self.program = Program(folder, "leak", [os.path.join(build_folder(), "leak"), "--form", form, "--tasks", str(tasks),
                                                "--debug", "127.0.0.1:0"])

    def __enter__(self):
        found = until("it says all", lambda: re.search(r"^heartbeats .*refused (\d+), tasks waiting (\d+)$", self.program.out, re.M), 120)
        self.refused, self.waiting = int(found[1]), int(found[2])
        self.base = "http://" + re.search(r"^listening debug=(\S+)$", self.program.out, re.M)[1]
        return self

    def __exit__(self, *what):
        try:
            if not what[0]:
                equal(self.program.stop(120), 0)
        finally:
            self.program.kill()

    def open(self, path):
        return urllib.request.urlopen(self.base + path, timeout=120)

    def get(self, path):
        with self.open(path) as answer:
            return answer.read().decode()

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)$", self.get("/metrics"), re.M)[1])

    def ticks(self):
        return self.program.out.count("tick")


def pprof_top(url, folder):
    """What `go tool pprof -top` says; its first use on a machine compiles it."""
    go = gopeer.go()
    if not go:
        raise tap.Skip("no go toolchain")
    return subprocess.run([go, "tool", "pprof", "-top", url], capture_output=True, text=True, timeout=150, check=True,
                          env={**os.environ, "PPROF_TMPDIR": folder}).stdout


class TheHolderLives(tap.Tests):
    def test_the_suspects_are_counted_at_one_site_with_the_holder_named(self):
        with Leak(self.dir, "holder") as leak:
            equal(leak.refused, 0)
            until("all are suspect", lambda: re.search(rf"^{leak.tasks} tasks are suspect$", leak.get("/debug/leaks"), re.M))
            report = leak.get("/debug/leaks")
            lines = [line for line in report.splitlines() if line.startswith("runnel:")]
            equal(len(lines), 1, report)
            contains(lines[0], f"runnel: {leak.tasks} tasks are suspect", "chan send at main.c:", "(send_metrics)",
                     "<- receiver of channel ", 'held by task 1 "main" (never used)')
            contains(report, "0 tasks can never wake\n")
            equal(leak.metric("runnel_tasks_suspect"), leak.tasks)
            equal(leak.metric("runnel_tasks_leaked"), 0)

    def test_the_numbers_come_without_asking(self):
        with Leak(self.dir, "holder", 200) as leak:
            until("the window has looked by itself", lambda: leak.metric("runnel_tasks_suspect") == 200)
            until("and says it once", lambda: leak.program.err.count("200 tasks are suspect") == 1)

    def test_pprof_names_the_blocked_function_and_the_count(self):
        with Leak(self.dir, "holder") as leak:
            top = pprof_top(leak.base + "/debug/pprof/goroutine", self.dir)
            contains(top, "Type: goroutine")
            assert re.search(rf"^\s*{leak.tasks}\s+\S+%\s+\S+%\s+{leak.tasks}\s+\S+%\s+rn_tx_send_at$", top, re.M), top
            assert re.search(rf"\s{leak.tasks}\s+\S+%\s+send_metrics$", top, re.M), top

    def test_the_dump_has_them_all_while_another_task_ticks_on(self):
        with Leak(self.dir, "holder") as leak, leak.open("/debug/pprof/goroutine?debug=2") as answer:
            dump = answer.read(1 << 16)  # it has begun, and is held up by us
            before = leak.ticks()
            until("the ticker goes on", lambda: leak.ticks() > before + 1)
            dump = (dump + answer.read()).decode()
            equal(len(re.findall(r"^goroutine \d+ \[chan send[^\n]* name=send_metrics\]:\nrn_tx_send_at\(\.\.\.\)\n", dump, re.M)),
                  leak.tasks)
            equal(dump.count("\nsend_metrics(...)\n"), leak.tasks)
            equal(len(leak.get("/debug/pprof/goroutine?debug=2&limit=10").split("\n\n")) - 1, 10)

    def test_the_channel_tells_who_waits_and_who_holds(self):
        with Leak(self.dir, "holder", 500) as leak:
            contains(leak.get("/debug/objects"), "len 1000 cap 1000, senders 501, receivers 1, waiting to send 500, to receive 0",
                     'receivers held by task 1 "main"')

    def test_sigquit_tells_everything_and_the_program_goes_on(self):
        with Leak(self.dir, "holder", 200) as leak:
            for n in (1, 2):
                leak.program.signal(signal.SIGQUIT)
                until("the dump", lambda: leak.program.err.count("the program goes on\n") == n)
            equal(leak.program.err.count("\nsend_metrics(...)\n"), 400)
            contains(leak.program.err, "runnel: channels\n", "runnel: descriptors\n", "chan 1: len 1000 cap 1000", "fd ")
            before = leak.ticks()
            until("it ticks", lambda: leak.ticks() > before)


class TheHolderIsDead(tap.Tests):
    def test_that_they_can_never_wake_is_proved_and_told_with_the_chain(self):
        with Leak(self.dir, "dead") as leak:
            report = leak.get("/debug/leaks")
            contains(report, f"{leak.tasks + 1} tasks can never wake\n", "0 tasks are suspect\n")
            contains(report, f"runnel: {leak.tasks} tasks can never wake: chan send at main.c:", "runnel: 1 task can never wake: chan receive at main.c:")
            senders = next(line for line in report.splitlines() if "chan send" in line)
            contains(senders, "<- receiver of the channel opened at main.c:", 'held by task', '"wait_for_configuration"', "itself")
            equal(leak.metric("runnel_tasks_leaked"), leak.tasks + 1)
            contains(leak.get("/debug/pprof/goroutine?debug=2&limit=9"), " [chan send (leaked), ")


class TheEndsMoved(tap.Tests):
    def test_every_send_is_an_error_at_once_and_none_is_left(self):
        with Leak(self.dir, "moved") as leak:
            equal(leak.refused, leak.tasks + 1000)
            assert leak.waiting < 10, leak.waiting
            contains(leak.get("/debug/leaks"), "0 tasks can never wake\n", "0 tasks are suspect\n")
            contains(leak.get("/debug/objects"), "senders 1, receivers 0, waiting to send 0, to receive 0")


if __name__ == "__main__":
    tap.main(TheHolderLives, TheHolderIsDead, TheEndsMoved)
