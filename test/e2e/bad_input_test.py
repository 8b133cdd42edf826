"""Wrong files, wrong words on the command line, wrong HTTP: refused with the place that is at fault, and nothing else happens."""

import os
import re
import socket

from client import connect
from fleet import TEXT, Fleet, tap
from programs import build_folder, contains, equal, run, until

WHERE = re.compile(r"(\S+\.yaml):(\d+):(\d+): ")


class Files(tap.Tests):
    def check(self, program, text, line, column, *words):
        """The file is refused with exit 2 at this place (None: any column)."""
        path = os.path.join(self.dir, "wrong.yaml")
        with open(path, "w") as f:
            f.write(text)
        for option in (["--check"], []):
            r = run([f"{build_folder()}/{program}", "--config", path, *option], cwd=self.dir)
            equal(r.returncode, 2, f"{program} with {text!r}: {r.stderr}")
            contains(r.stderr, program + ": ", *words)
            m = WHERE.search(r.stderr)
            assert m and m[1].endswith("wrong.yaml"), r.stderr
            equal(int(m[2]), line, r.stderr)
            if column is not None:
                equal(int(m[3]), column, r.stderr)
            equal(len(r.stderr.splitlines()), 1, r.stderr)
        assert not os.path.exists(os.path.join(self.dir, "fettle-data")), "a check writes nothing"

    def test_unknown_keys_and_wrong_types_in_the_servers_file_are_named_with_their_place(self):
        for text, line, column, word in (
                ("agents:\n  listen: [127.0.0.1:0]\n  no_such_key: 1\n", 3, 3, "no_such_key"),
                ("colour: red\n", 1, 1, "colour"),
                ("data: x\nagents: [1, 2]\n", 2, 9, "agents"),
                ("agents:\n  heartbeat: soon\n", 2, 14, "heartbeat"),
                ("agents:\n  heartbeat: 1500ms\n", 2, None, "whole seconds"),
                ("agents:\n  message_max: 1GiB\n", 2, 16, "message_max"),
                ("agents:\n  insecure: perhaps\n", 2, 13, "insecure"),
                ("agents:\n  listen: [nowhere]\n", 2, None, "nowhere"),
                ("api: {body_max: -1}\n", 1, 17, "body_max"),
                ("exporters:\n  - {name: a, type: telegraph}\n", 2, None, "telegraph"),
                ("exporters:\n  - {name: a, type: sqlite, pfad: x}\n", 2, 29, "pfad"),
                ("exporters:\n  - {type: sqlite}\n  - {name: sqlite, type: file}\n", 3, None, ""),
                ("exporters:\n  - {name: a, type: sqlite}\n  - {name: a, type: sqlite}\n", 3, None, "a"),
                ("stop_timeout: 10s\nstop_timeout: 11s\n", 2, 1, "stop_timeout"),
                ("metrics:\n  lane: {overflow: spill}\n", 2, 20, "spill"),
                ("agents: {listen: [127.0.0.1:0}\n", 1, None, ""),
                ("a: b: c\n", 1, None, ""),
                ("agents:\n\theartbeat: 1s\n", 2, None, ""),
                ("store: {type: postgres}\n", 1, 15, "postgres"),
                ("exporters: [{name: l, type: sqlite, keep: soon}]\n", 1, 43, "keep"),
                ("agents: {tls: {}}\n", 1, 10, "tls")):
            self.check("fettled", text, line, column, word)

    def test_unknown_keys_and_wrong_types_in_the_agents_file_are_named_with_their_place(self):
        for text, line, column, word in (
                ("servr: tcp://127.0.0.1:1\n", 1, 1, "servr"),
                ("server: [a]\n", 1, 9, "server"),
                ("reconnect: {base: never}\n", 1, 19, "base"),
                ("labels: x\n", 1, 9, "labels"),
                ("processes:\n  - name: a\n    command: [x]\n    on_change: signal NOPE\n", 4, 16, "NOPE"),
                ("processes:\n  - name: a\n    command: [x]\n    stdout: nowhere\n", 4, 13, "nowhere"),
                ("processes:\n  - name: a\n    command: [x]\n    health: {window: 5}\n", 4, 22, "window"),
                ("processes:\n  - name: a\n    command: [x]\n    objects: [x]\n", 4, 14, "objects"),
                ("processes:\n  - name: a\n", 2, None, "command"),
                ("processes:\n  - command: [x]\n", 2, None, "name"),
                ("processes:\n  - {name: a, command: [x]}\n  - {name: a, command: [x]}\n", 3, None, "a"),
                ("processes:\n  - {name: a, command: [x], objects: {../x: y}}\n", 2, None, "../x"),
                ("processes:\n  - {name: a, command: [x], objects: {p: y, q: y}}\n", 2, None, "y"),
                ("processes:\n  - {name: a, command: [x], colour: red}\n", 2, 29, "colour"),
                ("processes:\n  - {name: a, command: [x], lines: 'http://127.0.0.1/metrics#x'}\n", 2, 36, "lines")):
            self.check("fettle-agent", text, line, column, word)

    def test_a_right_file_passes_the_check_and_a_missing_one_does_not(self):
        path = os.path.join(self.dir, "right.yaml")
        with open(path, "w") as f:
            f.write("data: ./d\nagents: {listen: ['127.0.0.1:0', 'unix:/tmp/x'], apply_timeout: 1h, heartbeat: 5s, message_max: 1MiB}\n"
                    "api: {listen: ['[::1]:0'], insecure: true}\nstop_timeout: 250ms\nstore: {type: sqlite}\n"
                    "metrics: {lane: {batches_max: 10, bytes_max: 64KiB, overflow: drop-newest}}\n"
                    "exporters: [{name: l, type: sqlite, path: m.db, required: true}, {name: o, type: file, path: '-'}]\n"
                    "runtime: {workers: auto, leaks: abort}\n")
        r = run([f"{build_folder()}/fettled", "--config", path, "--check"], cwd=self.dir)
        equal((r.returncode, r.stderr), (0, ""))
        assert not os.path.exists(os.path.join(self.dir, "d"))
        for program in ("fettled", "fettle-agent"):
            r = run([f"{build_folder()}/{program}", "--config", "/nowhere/absent.yaml", "--check"], cwd=self.dir)
            equal(r.returncode, 2, program)
            contains(r.stderr, "/nowhere/absent.yaml")


class Words(tap.Tests):
    def test_unknown_options_and_arguments_end_with_2(self):
        b = build_folder()
        for argv in (["fettled", "--nonsense"], ["fettled", "word"], ["fettled", "--config"], ["fettled", "--log-level", "loud"],
                     ["fettled", "--log-format", "xml"], ["fettled", "--agents", "nowhere"], ["fettle-agent"], ["fettle-agent", "--nonsense"],
                     ["fettle-agent", "--config"], ["fettle-agent", "--config", "x", "word"], ["fettle"], ["fettle", "--nonsense"],
                     ["fettle", "rollout"], ["shipper", "--nonsense"]):
            r = run([f"{b}/{argv[0]}", *argv[1:]], cwd=self.dir)
            equal(r.returncode, 2, f"{argv}: {r.stderr}")
            contains(r.stderr, argv[0])
            assert r.stdout == "", (argv, r.stdout)
        equal(os.listdir(self.dir), [])

    def test_help_and_version_go_to_standard_output_and_tell_only_of_what_is_there(self):
        for program, words in (("fettled", ("--config", "--data", "--agents", "--api", "--debug", "--check", "--log-format")),
                               ("fettle-agent", ("--config", "--server", "--check")), ("fettle", ("get", "push"))):
            r = run([f"{build_folder()}/{program}", "--help"], cwd=self.dir)
            equal((r.returncode, r.stderr), (0, ""))
            contains(r.stdout, *words)
            for absent in ("rollout", "tls", "TLS", "wss", "ws://", "https", "enrol", "spill", "restart", "diff", "elasticsearch", "mysql",
                           "influx", "systemd", "replay"):
                assert absent not in r.stdout, (program, absent)
            r = run([f"{build_folder()}/{program}", "--version"], cwd=self.dir)
            equal(r.returncode, 0)
            assert re.fullmatch(rf"{program} \d+\.\d+\.\d+\n", r.stdout), r.stdout

    def test_an_address_beyond_loopback_is_refused_unless_its_section_says_insecure(self):
        with Fleet(self.dir) as f:
            path = os.path.join(self.dir, "f.yaml")
            with open(path, "w") as out:
                out.write("data: ./d\n")
            ports = {"--agents": "127.0.0.1:0", "--api": "127.0.0.1:0", "--debug": "127.0.0.1:0"}
            for option in ports:
                for address in ("0.0.0.0:0", "[::]:0"):
                    given = [x for pair in {**ports, option: address}.items() for x in pair]
                    r = run([f"{f.build}/fettled", "--config", path, *given], cwd=self.dir)
                    equal(r.returncode, 2, f"{option} {address}: {r.stderr}")
                    contains(r.stderr, address, "insecure")
            with open(path, "w") as out:
                out.write("agents:\n  listen: [0.0.0.0:0]\n")
            r = run([f"{f.build}/fettled", "--config", path, "--check"], cwd=self.dir)
            equal(r.returncode, 2, r.stderr)
            contains(r.stderr, "0.0.0.0:0")
            r = run([f"{f.build}/fettle-agent", "--config", path, "--check"], cwd=self.dir)
            equal(r.returncode, 2)

            s = f.start_server("agents: {heartbeat: 1s, insecure: true}", options=("--agents", "0.0.0.0:0"))
            contains(s.err, "without enrolment")
            port = s.agents_at.rsplit(":", 1)[1]
            f.start_agent(server=f"tcp://127.0.0.1:{port}").online()

    def test_the_agent_refuses_a_server_that_it_cannot_speak_to(self):
        path = os.path.join(self.dir, "a.yaml")
        with open(path, "w") as f:
            f.write("state: ./s\n")
        for url in ("wss://127.0.0.1:1/v1/opamp", "http://127.0.0.1:1", "tls://127.0.0.1:1", "127.0.0.1:1", "tcp://", "tcp://x"):
            r = run([f"{build_folder()}/fettle-agent", "--config", path, "--server", url, "--check"], cwd=self.dir)
            equal(r.returncode, 2, f"{url}: {r.stderr}")


class Twice(tap.Tests):
    def test_a_second_server_on_the_same_data_and_a_second_agent_on_the_same_state_end_with_1(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            r = run([f"{f.build}/fettled", "--data", s.data, *f.free_ports(())], cwd=self.dir)
            equal(r.returncode, 1, r.stderr)
            contains(r.stderr, "fettled: ", s.data)
            r = run([f"{f.build}/fettle-agent", "--config", a.file], cwd=self.dir)
            equal(r.returncode, 1, r.stderr)
            contains(r.stderr, "fettle-agent: ", "state")
            equal((len(a.workers()), len(a.loads())), (1, 1))
            a.applied(s.push(b"x\n")["hash"])

    def test_an_address_that_is_taken_ends_with_1_and_its_name(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            for option, taken in (("--agents", s.agents_at), ("--api", s.api_at), ("--debug", s.debug_at)):
                argv = [f"{f.build}/fettled", "--data", os.path.join(self.dir, "other"), option, taken, *f.free_ports((option,))]
                r = run(argv, cwd=self.dir)
                equal(r.returncode, 1, r.stderr)
                contains(r.stderr, "fettled: ", taken)


class BrokenHttp(tap.Tests):
    def say(self, address, data, wanted, closes=True):
        """Send bytes; the first status that comes back is one of `wanted`, and the connection ends."""
        with connect(address) as s:
            s.settimeout(15)
            got = b""
            try:
                s.sendall(data)
                while True:
                    more = s.recv(65536)
                    if not more:
                        break
                    got += more
                    if not closes and b"\r\n\r\n" in got:
                        break
            except (ConnectionResetError, BrokenPipeError):
                pass
            except socket.timeout:
                raise AssertionError(f"{data[:80]!r}: still open after 15 s; it said {got[:200]!r}") from None
        status = int(got.split(b" ")[1]) if got.startswith(b"HTTP/1.1 ") else 0
        assert status in wanted, (data[:80], got[:300])
        return got

    def test_requests_that_are_no_http_are_400_and_the_connection_ends(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            host = b"Host: x\r\n"
            for data in (b"\0\0\0\0\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n",
                         b"GET  / HTTP/1.1\r\n" + host + b"\r\n", b"GET / HTTP/1.1\r\n" + host + b"No colon\r\n\r\n",
                         b"GET / HTTP/1.1\r\n" + host + b"A : b\r\n\r\n", b"GET / HTTP/1.1\r\n" + host + host + b"\r\n",
                         b"GET / HTTP/1.1\r\n" + host + b" folded\r\n\r\n", b"GET / HTTP/1.1\r\n" + host + b"X: a\0b\r\n\r\n",
                         b"POST / HTTP/1.1\r\n" + host + b"Content-Length: x\r\n\r\n",
                         b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
                         b"POST / HTTP/1.1\r\n" + host + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                         b"POST /api/v1/configurations HTTP/1.1\r\n" + host + b"Authorization: Bearer " + s.token.encode() +
                         b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
                         b"GET /%zz HTTP/1.1\r\n" + host + b"\r\n"):
                self.say(s.api_at, data, (400, 404) if b"%zz" in data else (400,), closes=b"%zz" not in data)
            self.say(s.api_at, b"GET / HTTP/9.9\r\n" + host + b"\r\n", (400, 505))
            self.say(s.api_at, b"POST / HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip\r\n\r\n", (400, 501))
            self.say(s.api_at, b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + host + b"\r\n", (400, 414, 431))
            self.say(s.api_at, b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * 200000 + b"\r\n\r\n", (400, 431))
            self.say(s.api_at, b"\x16\x03\x01\x02\x00" + os.urandom(512), (400, 0))
            equal(s.http("GET", "/healthz", token=False).status, 200)

    def test_a_request_that_never_ends_is_408_and_others_are_served_meanwhile(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with connect(s.api_at) as head, connect(s.api_at) as body:
                head.sendall(b"GET / HTTP/1.1\r\nHos")
                body.sendall(b"PUT /api/v1/agent-groups/default/configuration HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
                             s.token.encode() + b"\r\nContent-Length: 100\r\n\r\nabc")
                for _ in range(5):
                    equal(s.http("GET", "/api/v1/agents").status, 200)
                for k in (head, body):
                    k.settimeout(95)
                    answer = k.recv(4096)
                    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer
            equal(s.http("GET", "/api/v1/configurations").json["items"], [])

    def test_an_upload_that_breaks_off_changes_nothing(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            for _ in range(5):
                with connect(s.api_at) as k:
                    k.sendall(b"PUT /api/v1/agent-groups/default/configuration HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " +
                              s.token.encode() + b"\r\nContent-Length: 100000\r\n\r\n" + b"y" * 50000)
            until("their connections are gone", lambda: s.metrics().sum("rnet_connections", listener="api") == 0)
            equal(s.get("/api/v1/configurations")["items"], [])
            equal(s.push(b"z")["version"], 1)

    def test_pipelined_requests_are_answered_in_order_and_head_without_a_body(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            auth = f"Host: x\r\nAuthorization: Bearer {s.token}\r\n"
            calls = [f"GET /api/v1/agents HTTP/1.1\r\n{auth}\r\n", f"HEAD /api/v1/agents HTTP/1.1\r\n{auth}\r\n",
                     f"GET /api/v1/nothing HTTP/1.1\r\n{auth}\r\n",
                     f"PUT /api/v1/agent-groups/default/configuration?object=a HTTP/1.1\r\n{auth}Content-Type: text/plain\r\n"
                     "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
                     f"GET /healthz HTTP/1.1\r\n{auth}Connection: close\r\n\r\n"]
            got = self.say(s.api_at, "".join(calls).encode(), (200,)).decode()
            equal(re.findall(r"HTTP/1\.1 (\d+) ", got), ["200", "200", "404", "202", "200"])
            made = s.get("/api/v1/configurations/default/versions/1")["objects"]["a"]
            equal((made["content_type"], made["body"]), (TEXT, "abcde"))


if __name__ == "__main__":
    tap.main(Files, Words, Twice, BrokenHttp)
