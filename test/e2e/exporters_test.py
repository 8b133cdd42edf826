"""Exporters with real servers: what was sent is what is stored, also when it is sent again; and one of them that is away, hangs, comes
late or is full is nobody else's trouble, with books that balance all the time."""

import base64
import contextlib
import http.server
import os
import signal
import sys
import threading
import time

import client
from disk_test import Disk
from fleet import Fleet, balance, tap
from opamp import process_metrics
from programs import contains, equal, until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../servers"))
import servers  # noqa: E402


class Traffic:
    """Samples of simulated agents, and who they are."""

    def __init__(self, server, agents=3):
        self.server = server
        self.peers = [server.peer() for _ in range(agents)]
        self.boots = [os.urandom(16) for _ in self.peers]
        self.start, self.seq, self.sent, self.messages = int(time.time() * 1000), 0, set(), []
        for p in self.peers:
            p.introduce()

    def send(self, messages, samples=20):
        for _ in range(messages):
            seqs = range(self.seq + 1, self.seq + samples + 1)
            self.seq += samples
            for p, boot in zip(self.peers, self.boots):
                self.messages.append((p, process_metrics(boot, [(s, self.start + s) for s in seqs])))
                p.ask(self.messages[-1][1])
                hexed = boot.hex()
                text = "-".join((hexed[:8], hexed[8:12], hexed[12:16], hexed[16:20], hexed[20:]))
                self.sent |= {(p.name, text, s) for s in seqs}

    def replay(self):
        for p, message in self.messages:
            p.ask(message)

    def close(self):
        for p in self.peers:
            p.close()


class Books:
    """Reads every exporter's ledger again and again, beside the test."""

    def __init__(self, server):
        self.server, self.stop, self.reads, self.wrong = server, threading.Event(), 0, []
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.stop.wait(0.02):
            for name, x in self.server.exporters().items():
                self.reads += 1
                if balance(x["ledger"]):
                    self.wrong.append((name, x["ledger"]))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        equal(self.wrong, [], "books that do not balance")
        assert self.reads > 5, self.reads


def local(server):
    return set(server.rows("agent_id, boot_id, seq"))


def settled(server, name, wanted):
    """Wait until this exporter has decided about so many samples and holds none; its ledger."""
    def look():
        ledger = server.exporters()[name]["ledger"]
        return ledger if ledger["offered"] == wanted and ledger["queued"] + ledger["in_flight"] == 0 else None
    return until(f"{name} has decided about {wanted} samples", look, 120)


class World:
    """fettled with sqlite and some back ends, with traffic."""

    def __init__(self, folder, *kinds, started=True, homes=None):
        self.stack, self.backends = contextlib.ExitStack(), []
        self.fleet = Fleet(folder)
        try:
            for kind in kinds:
                b = kind((homes or {}).get(kind, folder))
                self.backends.append(b)
                self.fleet.helpers.append(b)
                if started:
                    b.start()
                    b.create_database()
        except BaseException:
            self.fleet.end_all()
            raise

    def __enter__(self):
        self.fleet.__enter__()
        self.stack.push(self.fleet)
        lines = ["{name: local, type: sqlite, required: true}"] + [b.exporter() for b in self.backends]
        self.server = self.fleet.start_server(exporters="[" + ", ".join(lines) + "]", wait=False)
        try:
            self.server.listening()
            self.stack.enter_context(Books(self.server))
            self.traffic = Traffic(self.server)
        except BaseException:
            self.stack.close()
            raise
        return self

    def __exit__(self, *why):
        self.traffic.close()
        return self.stack.__exit__(*why)

    def state(self, name):
        return self.server.exporters()[name]["state"]

    def state_is(self, name, *states):
        return until(f"{name} is {' or '.join(states)}", lambda: self.state(name) in states and self.server.exporters()[name], 60)

    def has_all(self, *stores):
        for store in stores:
            until(f"{store} has what was sent", lambda s=store: s() == self.traffic.sent, 120)


def same_set_and_again(folder, kind, name, tells_duplicates):
    with World(folder, kind) as w:
        w.state_is(name, "ok")
        w.traffic.send(20)
        n = len(w.traffic.sent)
        ledger = settled(w.server, name, n)
        equal((ledger["delivered"], ledger["duplicate"], ledger["dropped"]["rejected"]), (n, 0, 0))
        w.has_all(w.backends[0].stored, lambda: local(w.server))
        w.traffic.replay()
        ledger = settled(w.server, name, 2 * n)
        equal((ledger["delivered"], ledger["duplicate"]), (n, n) if tells_duplicates else (2 * n, 0))
        w.has_all(w.backends[0].stored, lambda: local(w.server))
        equal(settled(w.server, "local", 2 * n)["duplicate"], n)
        shown = w.server.exporters()[name]
        equal((shown["last_error"], shown["state"]), (None, "ok"))


class StoredIsSent(tap.Tests):
    def test_influxdb_has_what_was_sent_and_the_same_after_a_replay(self):
        same_set_and_again(self.dir, servers.Influx, "in", False)

    def test_mariadb_has_what_was_sent_and_the_same_after_a_replay(self):
        same_set_and_again(self.dir, servers.Maria, "my", True)

    def test_opensearch_has_what_was_sent_and_the_same_after_a_replay(self):
        same_set_and_again(self.dir, servers.OpenSearch, "es", True)


def trouble_of_one(folder, sick, sick_name, well, well_name, hurt, heal, states, says="connect"):
    """Hurt one of two; the others go on; heal it, and it has everything too."""
    with World(folder, sick, well) as w:
        ill, healthy = w.backends
        w.traffic.send(5)
        w.has_all(ill.stored, healthy.stored, lambda: local(w.server))
        hurt(ill)
        w.traffic.send(20)
        n = len(w.traffic.sent)
        settled(w.server, well_name, n)
        settled(w.server, "local", n)
        w.has_all(healthy.stored, lambda: local(w.server))
        equal(w.state(well_name), "ok")
        if states:
            contains(w.state_is(sick_name, *states)["last_error"], says)
        heal(ill)
        ledger = settled(w.server, sick_name, n)
        equal(sum(ledger["dropped"].values()), 0)
        w.has_all(ill.stored)
        w.state_is(sick_name, "ok")


AWAY = ("degraded", "open")


class TroubleOfOne(tap.Tests):
    def test_influxdb_that_is_stopped_and_started_again_misses_nothing(self):
        trouble_of_one(self.dir, servers.Influx, "in", servers.Maria, "my", servers.Influx.stop, servers.Influx.start, AWAY)

    def test_mariadb_that_is_stopped_and_started_again_misses_nothing(self):
        trouble_of_one(self.dir, servers.Maria, "my", servers.Influx, "in", servers.Maria.stop, servers.Maria.start, AWAY)

    def test_influxdb_that_hangs_holds_up_nobody(self):
        trouble_of_one(self.dir, servers.Influx, "in", servers.Maria, "my", servers.Influx.hang, servers.Influx.resume, ())

    def test_mariadb_that_hangs_holds_up_nobody_and_gets_what_it_could_not_answer_for_again(self):
        trouble_of_one(self.dir, servers.Maria, "my", servers.Influx, "in", servers.Maria.hang, servers.Maria.resume, AWAY)

    def test_servers_that_start_late_get_everything(self):
        with World(self.dir, servers.Influx, servers.Maria, started=False) as w:
            w.traffic.send(20)
            n = len(w.traffic.sent)
            settled(w.server, "local", n)
            with open(os.path.join(w.backends[1].dir, "my.pw"), "w") as f:
                f.write("hunter2\n")
            for b, name in zip(w.backends, ("in", "my")):
                w.state_is(name, "degraded", "holding", "open")
                equal(w.server.exporters()[name]["ledger"]["queued"], n)
                b.start()
                b.create_database()
            for b, name in zip(w.backends, ("in", "my")):
                equal(settled(w.server, name, n)["delivered"], n)
                w.has_all(b.stored)

    def test_a_database_that_is_missing_holds_its_lane_until_somebody_makes_it(self):
        with World(self.dir, servers.Influx, started=False) as w:
            w.backends[0].start()
            w.traffic.send(5)
            contains(w.state_is("in", "holding")["last_error"], "HTTP 404: database not found: \"fettle\": create it")
            w.backends[0].create_database()
            w.has_all(w.backends[0].stored)

    def test_a_password_never_shows_and_a_wrong_one_holds_the_lane(self):
        with World(self.dir, servers.Maria, started=False) as w:
            b = w.backends[0]
            b.start()
            w.state_is("my", "holding")  # the file is missing
            b.create_database()
            with open(os.path.join(b.dir, "my.pw"), "w") as f:
                f.write("swordfish\n")
            until("the server refuses the password", lambda: "1045" in w.server.exporters()["my"]["last_error"], 60)
            w.traffic.send(5)
            shown = str(w.server.get("/api/v1/exporters")) + w.server.err + w.server.out
            assert "swordfish" not in shown and "hunter2" not in shown, shown
            b.create_database()
            w.has_all(b.stored)


class SmallMaria(servers.Maria):
    """All tables in one file that does not grow, until somebody lets it."""
    options = servers.Maria.options + ["--innodb-file-per-table=OFF", "--innodb-data-file-path=ibdata1:16M"]

    def fill(self):
        self.query("CREATE TABLE fettle.ballast (b LONGBLOB)")
        for _ in range(64):
            try:
                self.query("INSERT INTO fettle.ballast VALUES (REPEAT('x', 1 << 19))")
            except ValueError as e:
                contains(str(e), "1114")
                return
        raise AssertionError("it does not become full")

    def grow(self):
        self.stop()
        self.options = self.options[:-1] + ["--innodb-data-file-path=ibdata1:16M:autoextend"]
        self.start()


class FullDisks(tap.Tests):
    def test_influxdb_on_a_full_disk_gets_everything_once_there_is_space(self):
        with Disk(os.path.join(self.dir, "small"), 16 << 20) as disk, \
                World(self.dir, servers.Influx, servers.Maria, homes={servers.Influx: disk.path}) as w:
            ill, healthy = w.backends
            w.traffic.send(5)
            w.has_all(ill.stored)
            disk.fill()
            w.traffic.send(20)
            n = len(w.traffic.sent)
            settled(w.server, "my", n)
            w.has_all(healthy.stored, lambda: local(w.server))
            contains(w.state_is("in", *AWAY)["last_error"], "no space left")
            disk.free()
            ill.stop()  # 1.6 does not recover from that by itself: its log file keeps the error until a restart
            ill.start()
            settled(w.server, "in", n)
            w.has_all(ill.stored)
            ill.stop()

    def test_mariadb_that_is_full_holds_its_lane_and_gets_everything_once_there_is_space(self):
        with World(self.dir, SmallMaria, servers.Influx) as w:
            ill, healthy = w.backends
            w.traffic.send(5)
            w.has_all(ill.stored)
            ill.fill()
            w.traffic.send(60, 40)
            n = len(w.traffic.sent)
            settled(w.server, "in", n)
            w.has_all(healthy.stored, lambda: local(w.server))
            contains(w.state_is("my", "holding")["last_error"], "1114: The table 'process_metrics' is full")
            ill.grow()
            settled(w.server, "my", n)
            w.has_all(ill.stored)


class OpenSearchInTrouble(tap.Tests):
    """All of it with one server, which takes long to start."""

    def others_go_on(self, w):
        w.traffic.send(5)
        settled(w.server, "in", len(w.traffic.sent))
        w.has_all(w.backends[1].stored, lambda: local(w.server))
        equal(w.state("in"), "ok")
        ledger = w.server.exporters()["es"]["ledger"]
        assert ledger["queued"] + ledger["in_flight"] > 0, ledger

    def then_nothing_is_missing(self, w):
        equal(sum(settled(w.server, "es", len(w.traffic.sent))["dropped"].values()), 0)
        w.has_all(w.backends[0].stored)
        w.state_is("es", "ok")

    def test_opensearch_that_comes_late_or_hangs_or_is_full_or_stopped_holds_up_nobody_and_misses_nothing(self):
        with World(self.dir, servers.OpenSearch, servers.Influx, started=False) as w:
            ill, healthy = w.backends
            healthy.start()
            healthy.create_database()
            self.others_go_on(w)
            w.state_is("es", *AWAY)
            ill.start()
            self.then_nothing_is_missing(w)

            ill.hang()
            self.others_go_on(w)
            ill.resume()
            self.then_nothing_is_missing(w)

            ill.block(True)
            self.others_go_on(w)
            contains(w.state_is("es", "holding")["last_error"], "HTTP 429: cluster_block_exception")
            ill.block(False)
            self.then_nothing_is_missing(w)

            ill.stop()
            self.others_go_on(w)
            w.state_is("es", *AWAY)
            ill.start()
            self.then_nothing_is_missing(w)


class Echo(http.server.BaseHTTPRequestHandler):
    """Refuses every request, and repeats all of it in the error."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = b"who is " + self.raw_requestline + self.headers.as_bytes() + body
        self.server.asked.append(answer)
        self.send_response(401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else answer)

    do_GET = do_HEAD = do_PUT = do_POST

    def log_message(self, *_):
        pass


class Secrets(tap.Tests):
    PAGES = ("/metrics", "/debug/pprof/goroutine?debug=1", "/debug/pprof/goroutine?debug=2", "/debug/tasks", "/debug/leaks",
             "/debug/objects", "/debug/fds", "/debug/listeners", "/debug/syscalls")
    PATHS = ("/api/v1/exporters", "/api/v1/agents", "/api/v1/agent-groups", "/api/v1/openapi.json")

    def exporters(self, address):
        kinds = {"es": f'type: elasticsearch, url: "http://{address}", user: es-user, password_file: es.secret',
                 "key": f'type: elasticsearch, url: "http://{address}", create_template: false, api_key_file: key.secret',
                 "in": f'type: influxdb, url: "http://{address}", database: fettle, user: in-user, password_file: in.secret',
                 "in2": f'type: influxdb, url: "http://{address}", org: o, bucket: b, token_file: in2.secret',
                 "my": f'type: mysql, port: {servers.free_port()}, password_file: my.secret'}
        for name in kinds:
            with open(os.path.join(self.dir, name + ".secret"), "w") as f:
                f.write(f"seCret-of-{name}\n")
        return kinds, "[" + ", ".join(f"{{name: {n}, {text}}}" for n, text in kinds.items()) + "]"

    def all_that_shows(self, server):
        said = [server.http("GET", path).body.decode() for path in self.PATHS]
        said += [client.request(server.debug_at, "GET", page).body.decode() for page in self.PAGES]
        server.signal(signal.SIGQUIT)
        until("the dump is complete", lambda: "the program goes on\n" in server.err)
        return "\n".join(said) + server.out + server.err

    def test_a_secret_is_in_no_log_no_answer_and_no_dump_even_if_the_server_repeats_it(self):
        echo = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        echo.asked, echo.daemon_threads = [], True
        threading.Thread(target=echo.serve_forever, daemon=True).start()
        kinds, settings = self.exporters("127.0.0.1:%d" % echo.server_address[1])
        try:
            with Fleet(self.dir) as f:
                s = f.start_server(exporters=settings, options=("--log-level", "debug"))
                traffic = Traffic(s, 1)
                traffic.send(3)
                until("all have failed", lambda: all(x["last_error"] for x in s.exporters().values()))
                shown = self.all_that_shows(s)
                traffic.close()
                s.kill()  # in order, it would wait for the lanes
            asked = b"".join(echo.asked).decode(errors="replace")
            packed = [base64.b64encode(f"{user}:seCret-of-{name}".encode()).decode() for user, name in (("es-user", "es"), ("in-user", "in"))]
            contains(asked, "seCret-of-key", "seCret-of-in2", *packed)
            for hidden in [f"seCret-of-{name}" for name in kinds] + packed:
                assert hidden not in shown, f"{hidden} shows: {shown[max(0, shown.find(hidden) - 300):][:600]}"
        finally:
            echo.shutdown()
            echo.server_close()


if __name__ == "__main__":
    tap.main(StoredIsSent, TroubleOfOne, FullDisks, OpenSearchInTrouble, Secrets)
