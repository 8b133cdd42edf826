"""Stops: in order on TERM, at once on the second signal; and what a restart costs the agents: nothing but a moment."""

import os
import signal
import sqlite3
import threading
import time

import opamp
from fleet import TEXT, Fleet, balance, tap
from opamp import APPLIED, CAPABILITIES, REPORT_FULL_STATE, UNAVAILABLE, config_status
from programs import contains, equal, until


def contiguous(rows):
    """{(agent, boot): [seq]} where the numbers have a gap; rows of (agent, boot, seq)."""
    by_boot = {}
    for agent, boot, seq in rows:
        by_boot.setdefault((agent, boot), []).append(seq)
    return {k: sorted(v) for k, v in by_boot.items() if sorted(v) != list(range(1, len(v) + 1))}


def stored_agents(server):
    db = sqlite3.connect(f"file:{server.data}/fettle.db?mode=ro", uri=True, timeout=10)
    try:
        return db.execute("SELECT count(*) FROM agents").fetchone()[0]
    finally:
        db.close()


class TheServer(tap.Tests):
    def test_term_and_int_stop_in_order_with_exit_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Fleet(self.dir) as f:
                s = f.start_server()
                f.start_agent(f"agent{number}").online()
                s.signal(number)
                equal(s.wait(), 0)
                contains(s.err, "stopping")
                assert not [x for x in os.listdir(s.data) if x.endswith(("-wal", "-shm"))], os.listdir(s.data)

    def test_samples_that_were_taken_are_flushed_before_the_end(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            peers = [s.peer() for _ in range(10)]
            boots = [os.urandom(16) for _ in peers]
            now = int(time.time() * 1000)
            for p, boot in zip(peers, boots):
                p.introduce()
            for p, boot in zip(peers, boots):
                p.ask(opamp.process_metrics(boot, [(n, now + n) for n in range(1, 101)]))
            equal(s.stop(), 0)
            rows = s.rows("agent_id, boot_id, seq")
            equal((len(rows), contiguous(rows)), (1000, {}))
            for p in peers:
                p.close()

    def test_a_request_that_is_under_way_gets_its_answer(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            pushed, errors = [], []

            def work():
                n = 0
                while True:
                    n += 1
                    try:
                        a = s.push_call(f"n = {n}\n".encode())
                    except ConnectionRefusedError:
                        return
                    except OSError as e:
                        errors.append(repr(e))
                        return
                    if a.status == 202:
                        pushed.append(a.json["version"])
            threads = [threading.Thread(target=work) for _ in range(4)]
            for t in threads:
                t.start()
            until("configurations are taken", lambda: len(pushed) > 20)
            equal(s.stop(), 0)
            for t in threads:
                t.join()
            s = f.restart_server()
            stored = s.get("/api/v1/configurations/default")["latest"]
            equal(stored, max(pushed), "nothing is stored that was not answered, and all that was answered is stored")

    def test_a_restart_in_order_asks_nobody_for_full_state_and_pushes_nothing(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            wanted = s.push(b"x\n")["hash"]
            peers = [s.peer() for _ in range(20)]
            for p in peers:
                p.introduce(status=config_status(bytes.fromhex(wanted), APPLIED), objects={"app.conf": (TEXT, b"x\n")}, labels={"k": "v"})
                p.ask()
            before = {x["instance_uid"]: x for x in s.agents()}
            equal(s.stop(), 0)
            s = f.restart_server()
            for p in peers:
                p.close()
                shown = s.agent(p.name)
                for key in ("labels", "identifying_attributes", "capabilities", "config", "group"):
                    equal(shown[key], before[p.name][key], key)
                equal(shown["status"] in ("stale", "offline"), True)
                with s.peer(p.uid, seq=p.seq) as back:
                    replies = [back.ask() for _ in range(3)]
                    equal([r.flags & REPORT_FULL_STATE for r in replies], [0, 0, 0])
                    equal([r.config for r in replies], [None] * 3)
                    equal(s.agent(p.name)["status"], "online")
            equal(s.pushes(), 0)

    def test_after_a_kill_everybody_is_asked_for_full_state(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            peers = [s.peer() for _ in range(20)]
            for p in peers:
                p.introduce()
            until("all of them are stored", lambda: stored_agents(s) == len(peers))
            s.kill()
            s = f.restart_server()
            equal(len(s.agents()), len(peers))
            for p in peers:
                p.close()
                with s.peer(p.uid, seq=p.seq) as back:
                    reply = back.ask()
                    if not reply.flags & REPORT_FULL_STATE:
                        reply = until("ReportFullState", lambda b=back: (lambda r: r.flags & REPORT_FULL_STATE and r)(b.ask()))
                    equal(back.introduce().flags, 0)

    def test_a_stop_tells_agents_when_to_come_back_and_real_ones_do(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            pushed = s.push(b"one\n")
            a.applied(pushed["hash"])
            loads = a.loads()
            with s.peer(capabilities=CAPABILITIES) as p:
                p.introduce()
                equal(s.stop(), 0)
                kind, _, retry = p.hung_up()[-1].error
                equal(kind, UNAVAILABLE)
                assert retry, retry
            s = f.restart_server()
            a.online()
            equal((s.pushes(), a.loads(), a.config()["status"]), (0, loads, "APPLIED"))

    def test_a_second_signal_stops_at_once_and_loses_nothing_that_is_on_disk(self):
        with Fleet(self.dir) as f:
            # A pipe that nobody reads holds the lane of the console: an orderly stop waits for it.
            fifo = os.path.join(self.dir, "fifo")
            os.mkfifo(fifo)
            end = os.open(fifo, os.O_RDWR)
            s = f.start_server("stop_timeout: 1h", exporters=f"[{{name: local, type: sqlite}}, {{name: stuck, type: file, path: {fifo}}}]")
            pushed = s.push(b"one\n")
            with s.peer() as p:
                p.introduce()
                now, boot, seq = int(time.time() * 1000), os.urandom(16), 0

                def held():
                    nonlocal seq
                    p.ask(opamp.process_metrics(boot, [(seq + n, now) for n in range(1, 501)]))
                    seq += 500
                    x = s.exporters()["stuck"]
                    return x["in_flight_batches"] > 0 and x["queued_batches"] > 0
                until("the stuck lane holds something", held)
                equal(balance(s.exporters()["stuck"]["ledger"]), 0)
                s.signal(signal.SIGTERM)
                p.hung_up()
                until("it stops listening", lambda: refused(s))
                assert s.runs(), "an hour was granted to the stop"
                s.signal(signal.SIGTERM)
                s.wait(15)
            os.close(end)
            db = sqlite3.connect(f"file:{s.data}/fettle.db", uri=True)
            equal(db.execute("PRAGMA integrity_check").fetchone()[0], "ok")
            db.close()
            s = f.start_server()
            equal(s.get("/api/v1/agent-groups/default")["configuration"]["version"], pushed["version"])


def refused(server):
    try:
        server.http("GET", "/healthz", token=False)
    except ConnectionError:
        return True
    return False


class Together(tap.Tests):
    def test_no_sample_is_lost_over_restarts_of_the_server_and_the_books_balance_throughout(self):
        with Fleet(self.dir) as f:
            s = f.start_server(exporters="[{name: local, type: sqlite}, {name: out, type: file, path: samples.jsonl}]")
            agents = [f.start_agent(f"a{n}").online() for n in range(3)]
            for round_ in range(4):
                until("samples arrive", lambda: len({r[0] for r in s.rows("agent_id")}) == 3)
                before = len(s.rows("seq"))
                until("and more of them", lambda: len(s.rows("seq")) >= before + 3)
                for _ in range(5):
                    s.healthy_books()
                if round_ % 2:
                    s.kill()
                else:
                    equal(s.stop(), 0)
                    equal(contiguous(s.rows("agent_id, boot_id, seq")), {}, "gaps after a stop")
                s = f.restart_server()
                for a in agents:
                    a.online()
            newest = {a.uid: until("a sample", lambda a=a: s.get(f"/api/v1/agents/{a.uid}/metrics")["items"])[0] for a in agents}

            def complete():
                rows = s.rows("agent_id, boot_id, seq")
                there = {(r[0], r[2]) for r in rows}
                return not contiguous(rows) and all((uid, x["seq"]) in there for uid, x in newest.items())
            until("every sample is stored once", complete)
            equal(len({r[1] for r in s.rows("agent_id, boot_id")}), 3, "boots")
            for x in s.exporters().values():
                equal(sum(x["ledger"]["dropped"].values()), 0, "dropped")

    def test_an_agent_that_is_stopped_says_goodbye_ends_its_process_and_keeps_its_identity(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            pushed = s.push(b"one\n")
            a.applied(pushed["hash"])
            worker = a.workers()[0]
            equal(a.program.stop(), 0)
            equal(a.show()["status"], "offline")
            assert not os.path.exists(f"/proc/{worker}"), "the worker outlived its agent"
            uid = a.uid
            a.start().online()
            equal((a.uid, len(s.agents())), (uid, 1))
            equal((a.config()["status"], a.body()), ("APPLIED", b"one\n"))
            equal(s.pushes(), 1)

    def test_an_agent_finds_its_server_whenever_that_comes(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            equal(s.stop(), 0)
            a = f.start_agent()
            until("it tried", lambda: "onnect" in a.program.err)
            assert a.program.runs()
            f.restart_server()
            a.online()


if __name__ == "__main__":
    tap.main(TheServer, Together)
