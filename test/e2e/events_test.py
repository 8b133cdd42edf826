"""Events: what happens is told in order, once, also to who was away; and nobody waits for who does not read."""

import socket
import time
from collections import Counter

from fleet import Fleet, problem, tap
from opamp import APPLIED, config_status
from programs import build_folder, contains, equal, run, until

ONE = b"level = one\n"
FOLLOWERS_MAX = 64


def loopback_port_of_nobody():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def boot_start(events):
    """The id before the first event of this start of the server."""
    while not events.id:
        for line in events.block():
            if line.startswith("id: "):
                events.id = line[4:]
    return events.id.split("-")[0] + "-0"


class WhatIsTold(tap.Tests):
    def test_an_agent_appears_takes_a_configuration_and_says_goodbye(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.events() as e:
                equal((e.status, e.headers["content-type"]), (200, "text/event-stream"))
                a = f.start_agent().online()
                equal(e.find("agent", change="appeared")["instance_uid"], a.uid)
                pushed = s.push(ONE)
                version = e.find("config", change="version")
                equal((version["configuration"], version["version"], version["hash"]),
                      (pushed["configuration"], pushed["version"], pushed["hash"]))
                equal(e.find("config", change="group")["group"], "default")
                for status in ("APPLYING", "APPLIED"):
                    told = e.find("config", change="status")
                    equal(told, {"time": told["time"], "change": "status", "instance_uid": a.uid, "configuration": pushed["configuration"],
                                 "version": pushed["version"], "hash": pushed["hash"], "status": status, "error": ""})
                s.push(b"broken\n")
                contains(e.find("config", change="status", status="FAILED")["error"], "this configuration is broken")
                equal(a.program.stop(), 0)
                told = e.find("agent")
                equal((told["change"], told["status"], told["instance_uid"]), ("goodbye", "offline", a.uid))
                a.start().online()
                equal(e.find("agent")["change"], "connected")

    def test_an_agent_whose_connection_is_lost_is_stale_and_heartbeats_are_no_events(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.events("?types=agent") as e, s.peer() as p:
                p.introduce()
                equal(e.next()[1]["change"], "appeared")
                for _ in range(20):
                    p.ask()
                p.close()
                told = e.next()[1]
                equal((told["change"], told["status"]), ("status", "stale"))
            equal(s.metrics().sum("fettle_events_total", type="agent"), 2)

    def test_that_an_agent_came_back_is_told_before_what_it_says_of_its_configuration(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                p.introduce()
            pushed = s.push(ONE)
            until("it is rendered", lambda: s.agent(p.name)["config"]["desired_hash"] == pushed["hash"])
            with s.events("?types=agent,config") as e, s.peer(uid=p.uid) as again:
                again.introduce(status=config_status(bytes.fromhex(pushed["hash"]), APPLIED))
                equal([e.next()[1]["change"] for _ in range(2)], ["connected", "status"])

    def test_an_exporter_that_cannot_be_reached_is_told_with_its_last_error(self):
        with Fleet(self.dir) as f:
            port = loopback_port_of_nobody()
            s = f.start_server(exporters=f"[{{name: es, type: elasticsearch, url: 'http://127.0.0.1:{port}', index: x}}]")
            f.start_agent().online()
            until("it has trouble", lambda: s.exporters()["es"]["state"] == "open")
            boot = s.events()
            with boot, s.events("?types=exporter", last_id=boot_start(boot)) as e:
                told = e.find("exporter", state="open")
                equal((told["exporter"], told["change"]), ("es", "state"))
                contains(told["last_error"], str(port))


class ComingBack(tap.Tests):
    def test_who_was_away_is_told_what_it_missed_in_order_and_once(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            e = s.events("?types=config")
            s.push(b"0\n")
            e.find("config", change="group")
            e.close()
            pushed = [s.push(b"%d\n" % n)["version"] for n in range(1, 6)]
            with s.events("?types=config", last_id=e.id) as again:
                equal([again.find("config", change="version")["version"] for _ in pushed], pushed)

    def test_after_a_restart_the_first_event_says_that_the_lists_have_to_be_read_again(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            e = s.events()
            s.push(ONE)
            e.find("config", change="group")
            equal(s.stop(), 0)
            while e.next():
                pass  # and it was ended in order, or this would have raised
            e.close()
            s = f.restart_server()
            with s.events("?types=config", last_id=e.id) as again:  # its exporter may come up only now
                kind, data = again.next()
                equal((kind, data["reason"], data["lost"]), ("reset", "restarted", None))
                contains(data["detail"], "read the lists again")
                s.push(b"two\n")
                equal(again.next()[1]["change"], "version")


class Clients(tap.Tests):
    def test_so_many_may_follow_and_one_more_when_another_leaves(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            all_of_them = [s.events() for _ in range(FOLLOWERS_MAX)]
            equal({e.status for e in all_of_them}, {200})
            a = s.http("GET", "/api/v1/events")
            problem(a, 503, "too many")
            equal(a.headers["Retry-After"], "5")
            s.push(ONE)
            for e in all_of_them:
                e.find("config", change="group")
            all_of_them.pop().close()
            until("its place is free", lambda: s.metrics().sum("fettle_event_followers") == FOLLOWERS_MAX - 1)
            with s.events() as e:
                equal(e.status, 200)
            for e in all_of_them:
                e.close()
            until("all have left", lambda: s.metrics().sum("fettle_event_followers") == 0)

    def test_a_thousand_agents_come_and_go_and_who_does_not_read_of_it_delays_neither_the_others_nor_the_stop(self):
        with Fleet(self.dir) as f:
            s = f.start_server(more="agents: {heartbeat: 30s}\nstop_timeout: 60s", exporters="[]")
            with s.events(window=4096) as stuck, s.events("?types=agent") as e:
                equal(stuck.status, 200)
                r = run([f"{build_folder()}/fettle-load", "agents", "--server", s.agents_at, "--agents", "1000", "--interval", "0s",
                         "--duration", "100ms"])
                equal(r.returncode, 0, r.stderr)
                told = Counter(e.next()[1]["change"] for _ in range(2000))
                equal(told, {"appeared": 1000, "goodbye": 1000})
                equal(int(e.id.split("-")[1]), 2000)
                equal(s.metrics().sum("fettle_event_followers"), 2)
                began = time.monotonic()
                equal(s.stop(), 0)
                assert time.monotonic() - began < 15
                equal(e.next(), None)

    def test_no_token_no_events_and_wrong_types_are_named(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            problem(s.http("GET", "/api/v1/events", token=False), 401)
            problem(s.http("GET", "/api/v1/events?types=agent,colour"), 400, "exporter")
            a = s.http("HEAD", "/api/v1/events")
            equal((a.status, a.type, a.body), (200, "text/event-stream", b""))


if __name__ == "__main__":
    tap.main(WhatIsTold, ComingBack, Clients)
