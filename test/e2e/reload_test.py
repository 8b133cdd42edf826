"""HUP: settings change while the programs run; what is wrong changes nothing; what needs a restart is named."""

import json
import os
import re
import signal

from fleet import Fleet, balance, tap
from opamp import CAPABILITIES
from programs import children_of, contains, equal, until

RELOADED, REFUSED, RESTART = "settings reloaded", "settings not reloaded, the old ones stay", "settings that need a restart"


def lines(program, words):
    return [line for line in program.err.splitlines() if words in line]


def hup(program, words=RELOADED):
    """HUP, and the line that tells what came of it."""
    before = len(lines(program, words))
    program.signal(signal.SIGHUP)
    return until(f"it says: {words}", lambda: lines(program, words)[before:])[0]


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def settings_file(fleet):
    return os.path.join(fleet.dir, "fettled.yaml")


class TheServer(tap.Tests):
    def test_another_heartbeat_reaches_connected_agents_at_once(self):
        with Fleet(self.dir) as f:
            s = f.start_server(heartbeat="1h")
            a = f.start_agent().online()
            seen = a.show()["sequence_num"]
            write(settings_file(f), "agents: {heartbeat: 1s}\n")
            contains(hup(s), "changed=agents.heartbeat")
            until("it beats by itself now", lambda: a.show()["sequence_num"] >= seen + 5)
            equal(a.show()["status"], "online")

    def test_a_broken_file_changes_nothing_and_the_line_says_where(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            token = s.token
            for text, place in (("agents: {heartbeat: 1s}\nstop_timeout: soon\n", "fettled.yaml:2:15: "),
                                ("agents: {heartbeat: 2s}\nnonsense: 1\n", "fettled.yaml:2:1: "),
                                ("exporters:\n  - {type: file, path: a.jsonl}\n  - {type: file, path: b.jsonl}\n", "fettled.yaml:3:")):
                write(settings_file(f), text)
                contains(hup(s, REFUSED), place)
            os.remove(settings_file(f))
            contains(hup(s, REFUSED), "No such file")
            equal(list(s.exporters()), ["sqlite"])
            equal(lines(s, RELOADED), [])
            write(settings_file(f), "agents: {heartbeat: 1s}\n")
            write(os.path.join(s.data, "admin-token"), "short\n")
            contains(hup(s, REFUSED), "admin-token")
            equal(s.http("GET", "/api/v1/agents", token=token).status, 200)
            write(os.path.join(s.data, "admin-token"), token + "\n")

    def test_a_settings_file_that_hangs_is_given_up_and_a_stop_does_not_wait_for_it(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            os.remove(settings_file(f))
            os.mkfifo(settings_file(f))
            contains(hup(s, REFUSED), "the settings cannot be read")
            equal(list(s.exporters()), ["sqlite"])
            s.signal(signal.SIGTERM)
            equal(s.wait(), 0)

    def test_a_stop_does_not_wait_for_a_reading_that_has_just_begun_to_hang(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            self.reads_in_vain(s, settings_file(f))
            s.signal(signal.SIGTERM)
            equal(s.wait(), 0)
            equal(lines(s, REFUSED), [])  # it was not waited for until it was given up

    @staticmethod
    def reads_in_vain(program, path):
        """HUP with a pipe in the file's place, which stays open and says nothing."""
        os.remove(path)
        os.mkfifo(path)
        program.signal(signal.SIGHUP)

        def opened():
            try:
                return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                return 0
        return until("it reads the file", opened)

    def test_keys_that_need_a_restart_are_named_each_time_until_they_are_as_before(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            write(settings_file(f), "agents: {heartbeat: 1s, message_max: 1MiB}\napi: {body_max: 2MiB}\nstop_timeout: 20s\n")
            for changed in ("changed=stop_timeout", "changed=nothing"):
                before = len(lines(s, RESTART))
                contains(hup(s), changed)
                contains(until("the keys are named", lambda b=before: lines(s, RESTART)[b:])[0], "agents.message_max", "api.body_max")
            write(settings_file(f), "agents: {heartbeat: 1s}\n")
            contains(hup(s), "changed=stop_timeout")
            equal(len(lines(s, RESTART)), 2)

    def test_another_admin_token_counts_from_the_reload_on(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            old, new = s.token, "f" * 64
            write(os.path.join(s.data, "admin-token"), new + "\n")
            equal(s.http("GET", "/api/v1/agents", token=old).status, 200)
            contains(hup(s), "admin-token")
            equal(s.http("GET", "/api/v1/agents", token=old).status, 401)
            equal(s.http("GET", "/api/v1/agents", token=new).status, 200)

    def test_exporters_come_change_and_go_and_no_sample_is_lost(self):
        with Fleet(self.dir) as f:
            local = "{name: local, type: sqlite}"
            s = f.start_server(exporters=f"[{local}]")
            a = f.start_agent().online()
            until("samples arrive", lambda: s.rows("seq"))

            def exporters(text):
                write(settings_file(f), f"agents: {{heartbeat: 1s}}\nexporters: [{text}]\n")
                return hup(s)
            contains(exporters(f"{local}, {{name: out, type: file, path: one.jsonl}}"), "added out")
            until("the new one gets samples", lambda: s.exporters()["out"]["ledger"]["delivered"] > 0)
            contains(exporters(f"{local}, {{name: out, type: file, path: two.jsonl}}"), "changed out")
            until("they go to the other file", lambda: os.path.getsize(os.path.join(s.data, "two.jsonl")) > 0)
            contains(hup(s), "changed=nothing")
            contains(exporters(local), "removed out")
            until("it is gone", lambda: list(s.exporters()) == ["local"])
            contains(lines(s, "exporter has drained")[0], "exporter=out dropped=0")
            written = [json.loads(line)["seq"] for n in ("one.jsonl", "two.jsonl") for line in open(os.path.join(s.data, n))]
            equal(written, list(range(written[0], written[0] + len(written))), "no gap where the file changed, nothing twice")
            for x in s.exporters().values():
                equal((balance(x["ledger"]), sum(x["ledger"]["dropped"].values())), (0, 0))
            newest = s.get(f"/api/v1/agents/{a.uid}/metrics")["items"][0]["seq"]
            until("the required one has all", lambda: {r[0] for r in s.rows("seq")} >= set(range(1, newest + 1)))

    def test_a_secret_that_changed_reopens_its_exporter(self):
        with Fleet(self.dir) as f:
            secret = os.path.join(f.dir, "pw")
            write(secret, "one\n")
            s = f.start_server(exporters="[{name: my, type: mysql, host: 127.0.0.1, port: 1, user: u, password_file: pw, database: d}]")
            contains(hup(s), "changed=nothing")
            write(secret, "two\n")
            line = hup(s)
            contains(line, "changed my")
            assert "two" not in s.err and "one\n" not in s.err, "a secret was logged"

    def test_hups_at_the_start_in_a_row_and_while_stopping_do_no_harm(self):
        with Fleet(self.dir) as f:
            fifo = os.path.join(f.dir, "fifo")
            os.mkfifo(fifo)
            end = os.open(fifo, os.O_RDWR)
            s = f.start_server("stop_timeout: 1h", wait=False, exporters=f"[{{name: local, type: sqlite}}, {{name: stuck, type: file, path: {fifo}}}]")
            until("HUP is held back", lambda: held_back(s.pid))
            for _ in range(20):
                s.signal(signal.SIGHUP)
            s.listening()
            until("it has reloaded", lambda: lines(s, RELOADED))
            assert len(lines(s, RELOADED)) <= 20
            s.signal(signal.SIGTERM)
            until("it is stopping", lambda: "stopping" in s.err)
            for _ in range(5):
                s.signal(signal.SIGHUP)
            equal(s.wait(), 0)
            os.close(end)


def held_back(pid):
    """Is HUP blocked yet?"""
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"^SigBlk:\s*(\S+)", f.read(), re.MULTILINE).group(1), 16) & 1 << signal.SIGHUP - 1


class TheAgent(tap.Tests):
    def test_other_labels_are_reported_and_move_it_to_another_group(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            s.put_group("blue", "color=blue", 10)
            a = f.start_agent(labels={"color": "red"}).online()
            equal(a.show()["group"], "default")
            worker = a.workers()
            write(a.file, f.agent_settings("agent", labels={"color": "blue"}))
            contains(hup(a.program), "changed=labels")
            until("it is in the other group", lambda: a.show()["group"] == "blue")
            equal((a.show()["labels"]["color"], a.workers()), ("blue", worker))

    def test_a_broken_file_changes_nothing_and_state_needs_a_restart(self):
        with Fleet(self.dir) as f:
            f.start_server()
            a = f.start_agent().online()
            good = f.agent_settings("agent")
            write(a.file, good.replace("name: worker", "nome: worker"))
            contains(hup(a.program, REFUSED), "agent.yaml:6:5: ")
            write(a.file, good.replace("state: ./state", "state: ./elsewhere"))
            contains(hup(a.program), "changed=nothing")
            contains(until("it is named", lambda: lines(a.program, RESTART))[0], "keys=state")
            assert not os.path.exists(os.path.join(a.dir, "elsewhere"))
            write(a.file, good)

    def test_a_file_that_hangs_is_given_up_and_holds_up_neither_configurations_nor_the_stop(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            TheServer.reads_in_vain(a.program, a.file)
            pushed = s.push(b"meanwhile\n")
            a.applied(pushed["hash"])  # at the latest when the reading has been given up
            contains(until("it says so", lambda: lines(a.program, REFUSED))[0], "the settings cannot be read")
            pushed = s.push(b"and after it\n")
            a.applied(pushed["hash"])
            a.program.signal(signal.SIGTERM)
            equal(a.program.wait(), 0)

    def test_processes_come_change_and_go_and_the_others_run_on(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            good, worker = f.agent_settings("agent"), a.workers()
            write(a.file, good + "  - {name: extra, command: [sleep, \"1000\"]}\n")
            contains(hup(a.program), "changed=processes")
            until("both are healthy", lambda: set(components(a)) == {"worker", "extra"} and all(components(a).values()))
            equal(a.workers(), worker)
            pushed = s.push(b"one\n")
            a.applied(pushed["hash"])
            write(a.file, good + "  - {name: extra, command: [sleep, \"2000\"]}\n")
            contains(hup(a.program), "changed=processes")
            until("it runs with the new command", lambda: commands(a, "sleep") == ["sleep 2000"])
            write(a.file, good)
            contains(hup(a.program), "changed=processes")
            until("only one is left", lambda: set(components(a)) == {"worker"})
            equal((commands(a, "sleep"), a.workers(), a.config()["status"]), ([], worker, "APPLIED"))

    def test_another_server_gets_the_agent_and_the_old_one_a_goodbye(self):
        with Fleet(self.dir) as f:
            first = f.start_server()
            a = f.start_agent().online()
            uid, worker = a.uid, a.workers()
            second = f.start_server(data=os.path.join(f.dir, "other"))
            try:
                write(a.file, f.agent_settings("agent"))
                contains(hup(a.program), "changed=server")
                a.online()
                equal((a.uid, a.workers()), (uid, worker))
                until("the old one had a goodbye", lambda: first.agent(uid)["status"] == "offline")
                pushed = second.push(b"from the second\n")
                a.applied(pushed["hash"])
            finally:
                equal(first.stop(), 0)

    def test_hups_in_a_row_do_no_harm(self):
        with Fleet(self.dir) as f:
            f.start_server()
            a = f.start_agent(start=False).start()
            until("HUP is held back", lambda: held_back(a.program.pid))
            for _ in range(20):
                a.program.signal(signal.SIGHUP)
            a.online()
            until("it has reloaded", lambda: lines(a.program, RELOADED))
            with f.server.peer(capabilities=CAPABILITIES) as p:
                p.introduce()


def components(agent):
    shown = agent.show()["health"]["components"]
    return {name: c["healthy"] for name, c in shown.items()}


def commands(agent, word):
    return [command for _, command in children_of(agent.program.pid) if command.startswith(word)]


if __name__ == "__main__":
    tap.main(TheServer, TheAgent)
