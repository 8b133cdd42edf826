"""kill -9, of the server while configurations are being pushed and of the agent while it applies them, at every step that has a name
and at moments from a printed seed; and SIGSTOP. Everything that promised to survive is looked for after each kill."""

import os
import random
import re
import signal
import threading
import time

from fleet import Fleet, tap
from programs import HERE, children_of, equal, reap_orphans, until

KILLS = int(os.environ.get("TEST_KILLS", "15"))
SEED = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(1 << 32))
QUICK = {"window": "100ms", "grace": "100ms", "base": "100ms"}
FAULT_POINTS = os.path.join(HERE, "../../src/agent/fault_points.tbl")


def body_of(n, broken=False):
    """The n-th content; large enough that half of it would be seen."""
    return f"n = {n}\n".encode() + (b"broken\n" if broken else b"fine\n") + bytes([65 + n % 26]) * 50000 + b"\n"


class Pusher:
    """Pushes without a pause, from a thread of its own, and remembers what was answered with 202."""

    def __init__(self, fleet):
        self.fleet, self.acknowledged, self.sent = fleet, {}, {}
        self.stopped, self.going = threading.Event(), threading.Event()
        self.problem = None
        self.thread = threading.Thread(target=self.work)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.going.set()
        self.thread.join()

    def work(self):
        n = 0
        while not self.stopped.is_set():
            self.going.wait()
            n += 1
            body = body_of(n)
            try:
                a = self.fleet.server.push_call(body)
            except OSError:
                time.sleep(0.005)
                continue
            if a.status == 202:
                self.acknowledged[a.json["version"]] = body
            elif a.status != 503:
                self.problem = repr(a)

    def all_there(self):
        equal(self.problem, None, "an answer that is neither 202 nor 503")
        s = self.fleet.server
        newest = max(self.acknowledged)
        for version in [v for v in self.acknowledged if v > newest - 40]:
            shown = s.get(f"/api/v1/configurations/default/versions/{version}")
            equal(shown["objects"]["app.conf"]["body"], self.acknowledged[version].decode(), f"version {version}")
        listed, cursor = set(), ""
        while cursor is not None:
            page = s.get("/api/v1/configurations/default/versions?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            listed |= {x["version"] for x in page["items"]}
            cursor = page["next"]
        equal(set(self.acknowledged) - listed, set(), "acknowledged versions that are gone")
        assigned = s.get("/api/v1/agent-groups/default")["configuration"]["version"]
        assert assigned >= newest, f"version {newest} was answered with 202, the group has {assigned}"


class TheServer(tap.Tests):
    def test_kill_9_while_pushing_loses_no_202_and_agents_come_back_and_are_not_sent_what_they_have(self):
        chance = random.Random(SEED)
        print(f"# {KILLS} kills of the server, seed {SEED}")
        with Fleet(self.dir) as f:
            f.start_server()
            agents = [f.start_agent(n, **QUICK) for n in ("one", "two")]
            for a in agents:
                a.online()
                until(f"the process of {a.name} has started", a.loads)
            with Pusher(f) as pusher:
                for kill in range(KILLS):
                    pusher.going.set()
                    before = len(pusher.acknowledged)
                    until("configurations are taken", lambda: len(pusher.acknowledged) > before)
                    time.sleep(chance.uniform(0, 0.15))
                    f.server.kill()
                    pusher.going.clear()
                    f.restart_server()
                    pusher.all_there()
                    self.settled(f, agents)
                    if kill % 5 == 0:
                        self.unpushed(f, agents)
            for a in agents:
                self.no_sample_lost(f.server, a)

    @staticmethod
    def settled(f, agents):
        """Every agent is back, and has what its group has."""
        for a in agents:
            a.online()
            group = f.server.get("/api/v1/agent-groups/default")["configuration"]

            def look(a=a, group=group):
                c = a.config()
                return c["status"] == "APPLIED" and c["version"] == group["version"] and c["desired_hash"] == c["applied_hash"]
            until(f"{a.name} has version {group['version']}", look)
            wanted = f.server.get(f"/api/v1/configurations/{group['name']}/versions/{group['version']}")["objects"]["app.conf"]["body"]
            equal(a.body(), wanted.encode(), f"the file of {a.name}")

    @staticmethod
    def unpushed(f, agents):
        """A kill when all is quiet: nobody is sent anything."""
        files = [os.stat(a.conf) for a in agents]
        f.server.kill()
        f.restart_server()
        for a in agents:
            a.online()
            beat = a.show()["sequence_num"]
            until("its heartbeats go on", lambda a=a, beat=beat: a.show()["sequence_num"] > beat)
            equal(a.settles("APPLIED")["error"], "")
        equal(f.server.pushes(), 0, "configurations sent to agents that had them")
        for a, before in zip(agents, files):
            now = os.stat(a.conf)
            equal((now.st_ino, now.st_mtime_ns), (before.st_ino, before.st_mtime_ns), f"the file of {a.name}, not written again")

    @staticmethod
    def no_sample_lost(server, agent):
        """What came before the newest is there without a gap."""
        newest = until("a sample", lambda: server.get(f"/api/v1/agents/{agent.uid}/metrics")["items"])[0]

        def look():
            rows = server.rows("seq", f"agent_id = '{agent.uid}' and boot_id = '{newest['boot_id']}'")
            numbers = sorted(r[0] for r in rows)
            return numbers and numbers[-1] >= newest["seq"] and numbers == list(range(1, len(numbers) + 1))
        until(f"all samples of {agent.name} are stored, without a gap", look)


class TheAgent(tap.Tests):
    def begin(self, f):
        """An agent with two files, at a first good version."""
        f.start_server()
        a = f.start_agent(objects={"app.conf": "app.conf", "more.conf": "more.conf"}, **QUICK).online()
        f.server.post("/api/v1/configurations", {"name": "both"})
        self.fleet, self.agent, self.n = f, a, 0
        self.assign(body_of(0))
        a.applied()
        self.old = self.contents()

    def contents(self):
        out = {}
        for name in ("app.conf", "more.conf"):
            with open(os.path.join(self.agent.dir, name), "rb") as f:
                out[name] = f.read()
        return out

    def assign(self, body):
        objects = {"app.conf": body, "more.conf": b"more " + body.replace(b"broken", b"......")}
        made = self.fleet.server.post("/api/v1/configurations/both/versions", {
            "objects": {n: {"content_type": "text/plain", "body": b.decode()} for n, b in objects.items()}})
        self.fleet.server.put_group("default", configuration={"name": "both", "version": made["version"]})
        self.new, self.version = objects, made["version"]

    def whole(self):
        """Each file is wholly old or wholly new."""
        for name, body in self.contents().items():
            assert body in (self.old[name], self.new[name]), f"{name} is neither: {body[:40]!r}, {len(body)} bytes"

    def childless(self):
        known = [p.pid for p in self.fleet.programs()]

        def look():
            reap_orphans(known)
            return not [c for _, c in children_of(os.getpid()) if self.agent.dir in c and "worker.py" in c]
        until("the killed agent's worker is gone", look, 15)

    def ends_well(self, broken):
        """After the next start: APPLIED with the new files or FAILED with the old ones, and the worker runs."""
        a = self.agent.start().online()

        def look():
            c = a.config()
            return c["version"] == self.version and c["status"] in ("APPLIED", "FAILED") and c
        try:
            c = until("it is APPLIED or FAILED", look)
        except AssertionError as e:
            raise AssertionError(f"{e}; it shows {a.config()}; it said {a.program.err[-1500:]}") from None
        if broken:
            equal(c["status"], "FAILED")
        equal(self.contents(), self.new if c["status"] == "APPLIED" else self.old, f"the files when {c}")
        if c["status"] == "APPLIED":
            equal(c["applied_hash"], c["desired_hash"])
            self.old = self.new
        else:
            assert c["error"], c
        until("the worker runs", lambda: len(a.workers()) == 1)
        return c["status"]

    def test_kill_9_at_each_named_step_leaves_whole_files_no_child_and_an_end_in_applied_or_failed(self):
        with open(FAULT_POINTS) as f:
            steps = re.findall(r'^X\(\w+, "([\w-]+)"\)', f.read(), re.MULTILINE)
        assert len(steps) >= 10, steps
        failing = steps[steps.index("failure-recorded"):]
        with Fleet(self.dir) as f:
            self.begin(f)
            for n, step in enumerate(steps, 1):
                broken = step in failing
                equal(self.agent.program.stop(), 0)
                self.agent.start({"FETTLE_KILL_AT": step}).online()
                self.assign(body_of(n, broken))
                try:
                    until("the agent kills itself", lambda: not self.agent.program.runs(), 15)
                except AssertionError:
                    if n == 1:
                        raise tap.Skip("this build has no fault points") from None
                    raise AssertionError(f"step {step} was not passed; {self.agent.config()}") from None
                equal(self.agent.program.child.returncode, -signal.SIGKILL, step)
                try:
                    self.whole()
                    self.childless()
                    self.ends_well(broken)
                except AssertionError as e:
                    raise AssertionError(f"after step {step}: {e}") from None

    def test_kill_9_at_any_moment_leaves_whole_files_no_child_and_an_end_in_applied_or_failed(self):
        chance = random.Random(SEED)
        print(f"# {KILLS} kills of the agent, seed {SEED}")
        with Fleet(self.dir) as f:
            self.begin(f)
            outcomes = []
            for n in range(1, KILLS + 1):
                broken = chance.random() < 0.3
                self.assign(body_of(n, broken))
                moment = chance.uniform(0, 0.5)
                time.sleep(moment)
                self.agent.program.kill()
                try:
                    self.whole()
                    self.childless()
                    outcomes.append(self.ends_well(broken))
                except AssertionError as e:
                    raise AssertionError(f"kill {n}, {moment * 1000:.0f} ms after the push, seed {SEED}: {e}") from None
            assert "APPLIED" in outcomes, outcomes

    def test_a_stopped_agent_reads_stale_then_offline_and_is_back_when_it_goes_on(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent(**QUICK).online()
            good = s.push(b"one\n")
            a.applied(good["hash"])
            seen = []

            def look(wanted):
                status = a.show()["status"]
                if status != (seen or [None])[-1]:
                    seen.append(status)
                return status == wanted
            until("three heartbeats", lambda: a.show()["sequence_num"] >= 4)
            a.program.signal(signal.SIGSTOP)
            until("it is offline", lambda: look("offline"))
            equal(seen, ["online", "stale", "offline"])
            equal(s.metrics().sum("fettle_agents", status="offline"), 1)
            new = s.push(b"two\n")
            a.program.signal(signal.SIGCONT)
            until("it is online again", lambda: look("online"))
            a.applied(new["hash"])
            equal((a.body(), len(a.workers())), (b"two\n", 1))


if __name__ == "__main__":
    tap.main(TheServer, TheAgent)
