"""The second story: heartbeats with samples while nobody receives them. Whatever the exporters do, no task is left behind and
memory stays where it is."""

import json
import os
import socket
import threading

import story
from story import load, tap, tasks

from fleet import Fleet, balance
from programs import equal, until

HEARTBEATS = 130000
AGENTS = 100
FLAT = 2 << 20
STEPS = 13


class Sink:
    """An HTTP server that answers every request in the same way, or never."""

    def __init__(self, answer):
        self.answer = answer
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.open = set()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.open.add(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        try:
            while s.recv(65536):
                if self.answer:
                    s.sendall(self.answer)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for s in self.open:
            s.close()



def all_tasks(server):
    return server.metrics().sum("runnel_tasks")


class LeakedTasks(tap.Tests):
    def beat(self, server, count, step):
        """So many heartbeats with a sample each, all answered; RssAnon after each `step`."""
        code, out, err = load("agents", "--server", server.agents_at, "--agents", str(AGENTS), "--interval", "0s", "--heartbeats",
                              str(count), "--progress", str(step), "--duration", "10m", "--pid", str(server.pid), "--json", seconds=660)
        equal(code, 0, err)
        events = [json.loads(line) for line in out.splitlines()]
        end = events[-1]
        equal((end["heartbeats_answered"], end["lost"], end["refused"]), (count, 0, 0))
        equal(end["samples_sent"], count)
        return [e["rss_anon"] for e in events if e["event"] == "progress"]

    def survives(self, f, exporters):
        """Heartbeats against these exporters: the same number of tasks and the same memory at the end."""
        count = max(tasks(HEARTBEATS), 13000)
        s = f.start_server(heartbeat="30s", exporters=exporters, more="stop_timeout: 1s")
        self.beat(s, 1000, 1000)
        early = all_tasks(s)
        assert early > 0
        memory = self.beat(s, count, count // STEPS)
        until(f"as many tasks as after the first 1,000 ({early})", lambda: all_tasks(s) == early, seconds=20)
        equal(s.metrics().sum("runnel_tasks_leaked"), 0)
        if not story.sanitized():
            last = memory[-5:]
            assert max(last) - min(last) <= FLAT, f"RssAnon after each tenth: {memory}"
        total = 0
        for name, x in s.exporters().items():
            equal(balance(x["ledger"]), 0, f"the books of {name}: {x['ledger']}")
            total = x["ledger"]["offered"]
        equal(total, 1000 + count, "samples offered")
        return s

    def test_without_an_exporter_no_task_is_left_behind(self):
        with Fleet(self.dir) as f:
            s = self.survives(f, "[]")
            ledger = s.exporters()["none"]["ledger"]
            equal(sum(ledger["dropped"].values()), ledger["offered"])

    def test_with_an_exporter_that_hangs_for_ever_no_task_is_left_behind(self):
        fifo = os.path.join(self.dir, "nobody-reads-this")
        os.mkfifo(fifo)
        with Fleet(self.dir) as f:
            s = self.survives(f, f"[{{name: stuck, type: file, path: {fifo}}}]")
            assert sum(s.exporters()["stuck"]["ledger"]["dropped"].values()) > 0, "the lane never overflowed"
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)  # lets it go, so that the server can stop
            threading.Thread(target=self.drain, args=(reader,), daemon=True).start()

    @staticmethod
    def drain(fd):
        os.set_blocking(fd, True)
        try:
            while os.read(fd, 65536):
                pass
        except OSError:
            pass

    def over_http(self, answer):
        """The same with an exporter that speaks HTTP to a server of ours."""
        sink = Sink(answer)
        try:
            with Fleet(self.dir) as f:
                exporters = f'[{{name: far, type: influxdb, url: "http://{sink.address}", database: fettle}}]'
                with open(os.path.join(self.dir, "check.yaml"), "w") as file:
                    file.write(f"exporters: {exporters}\n")
                known = story.run([f"{story.build_folder()}/fettled", "--check", "--config", file.name])
                if known.returncode != 0 and "influxdb" in known.stderr:
                    raise tap.Skip("this build has no exporter that speaks HTTP")
                s = self.survives(f, exporters)
                assert sum(s.exporters()["far"]["ledger"]["dropped"].values()) > 0, "the lane never overflowed"
                sink.close()
        finally:
            sink.close()

    def test_with_a_server_that_never_answers_no_task_is_left_behind(self):
        self.over_http(None)

    def test_with_a_server_that_answers_500_no_task_is_left_behind(self):
        self.over_http(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


if __name__ == "__main__":
    tap.main(LeakedTasks)
