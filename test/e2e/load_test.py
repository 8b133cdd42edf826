"""fettle-load against a real server: what it says it did is what the server saw."""

import json
import signal

from fleet import Fleet, tap
from programs import Program, build_folder, contains, equal, run, until

AGENTS = 50


def load(*args, seconds=60):
    return run([f"{build_folder()}/fettle-load", *args], seconds=seconds)


class Usage(tap.Tests):
    def test_help_and_version_end_with_0_and_wrong_usage_with_2(self):
        for args in (["--help"], ["--version"], ["agents", "--help"], ["flood", "--help"], ["flood", "--version"]):
            r = load(*args)
            equal((r.returncode, r.stderr), (0, ""), str(args))
            assert r.stdout, args
        for args in ([], ["nothing"], ["agents", "--no-such"], ["agents", "more"], ["agents", "--agents", "0"], ["agents", "--agents", "x"],
                     ["agents", "--interval", "soon"], ["agents", "--label", "x"], ["agents", "--server", "nowhere"],
                     ["agents", "--pid", "999999999"], ["flood", "--pid", "999999999"], ["flood", "--clients", "-1"], ["flood", "--size", "1GiB"], ["flood", "more"]):
            r = load(*args)
            equal(r.returncode, 2, f"{args}: {r.stderr}")
            assert r.stderr and not r.stdout, args

    def test_a_server_that_is_not_there_ends_it_with_1(self):
        r = load("agents", "--server", "127.0.0.1:1", "--agents", "3", "--connect-timeout", "300ms")
        equal(r.returncode, 1)
        contains(r.stderr, "fettle-load: only 0 of 3 agents", "Connection refused")
        r = load("flood", "--server", "127.0.0.1:1", "--clients", "3", "--duration", "300ms")
        equal(r.returncode, 1)


class Agents(tap.Tests):
    def test_agents_beat_apply_come_back_and_say_goodbye(self):
        with Fleet(self.dir) as f:
            s = f.start_server(heartbeat="30s", exporters="[]")
            p = Program(self.dir, "load", [f"{build_folder()}/fettle-load", "agents", "--server", s.agents_at, "--agents", str(AGENTS),
                                           "--interval", "100ms", "--samples", "2", "--label", "fleet=load", "--duration", "40s",
                                           "--configurations", "2", "--pid", str(s.pid), "--json"])
            until("all are connected", lambda: p.out.splitlines()[:1])
            equal(len(s.agents(selector="fleet=load", status="online", limit=100)), AGENTS)
            for body in (b"one\n", b"two\n"):
                wanted = s.push(body)["hash"]

                def all_have():
                    configs = [a["config"] for a in s.agents(limit=100)]
                    return all(c["status"] == "APPLIED" and c["applied_hash"] == c["effective_hash"] == wanted for c in configs)
                until("all have applied it", all_have)
            equal(p.wait(), 0, p.err)
            end = json.loads(p.out.splitlines()[-1])
            equal((end["event"], end["configs_applied"], end["lost"], end["refused"]), ("end", 2 * AGENTS, 0, 0))
            equal(end["heartbeats_sent"], end["heartbeats_answered"])
            equal(end["samples_sent"], 2 * end["heartbeats_sent"])
            assert end["server"]["cpu_seconds"] > 0 and end["server"]["rss_anon_ended"] > 0, end
            equal(s.exporters()["none"]["ledger"]["offered"], end["samples_sent"])
            until("all said goodbye", lambda: len(s.agents(status="offline", limit=100)) == AGENTS)

    def test_after_a_storm_all_are_back(self):
        with Fleet(self.dir) as f:
            s = f.start_server(heartbeat="30s", exporters="[]")
            r = load("agents", "--server", s.agents_at, "--agents", str(AGENTS), "--interval", "50ms", "--duration", "3s", "--storms", "2",
                     "--json")
            equal(r.returncode, 0, r.stderr)
            events = [json.loads(line) for line in r.stdout.splitlines()]
            equal([e["event"] for e in events], ["connected", "storm", "storm", "end"])
            equal((events[-1]["connects"], events[-1]["lost"]), (3 * AGENTS, 0))
            equal(len(s.agents(limit=100)), AGENTS)

    def test_the_text_says_the_same_and_a_signal_ends_it_in_order(self):
        with Fleet(self.dir) as f:
            s = f.start_server(heartbeat="30s", exporters="[]")
            p = Program(self.dir, "load", [f"{build_folder()}/fettle-load", "agents", "--server", s.agents_at, "--agents", "5", "--interval",
                                           "0s", "--duration", "5m"])
            until("heartbeats arrive", lambda: s.metrics().sum("fettle_agent_messages_total", type="metrics") > 0)
            p.signal(signal.SIGINT)
            equal(p.wait(), 0, p.err)
            contains(p.out, "connected       5 agents", "heartbeats      ", "answer          p50", "samples         ")
            until("all said goodbye", lambda: len(s.agents(status="offline")) == 5)


if __name__ == "__main__":
    tap.main(Usage, Agents)
