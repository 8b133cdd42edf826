"""A fleet for one test: a server, agents beside small processes, and the ways to look at them.

    with Fleet(self.dir) as f:
        f.start_server()
        a = f.start_agent()
        pushed = f.server.push(b"level = one\n")
        a.applied(pushed["hash"])

Leaving the block stops everything in order and looks at what is left: agents and server end with 0 on TERM unless the test killed
them, nothing leaked, the books balance, and no process lives that one of them started.
"""

import hashlib
import json
import os
import re
import signal
import sqlite3
import struct
import sys
import urllib.parse

import client
import programs
from opamp import Peer
from programs import PYTHON, Program, equal, until

sys.path.insert(0, os.path.join(programs.HERE, "../tools"))
import tap  # noqa: E402  (the tests take it from here)

TEXT = "text/plain"
LISTENING = re.compile(r"^listening agents=(\S+) api=(\S+) debug=(\S+)$", re.MULTILINE)
SAMPLE_FIELDS = ("agent_id", "boot_id", "seq", "timestamp", "host_name", "ip", "pid", "process_name", "cmd", "cpu_usage_rate",
                 "mem_usage", "send_lines")


def content_hash(objects):
    """The contract's hash. objects: {name: (content type, body)}"""
    h = hashlib.sha256()
    for name in sorted(objects, key=str.encode):
        kind, body = objects[name]
        for data, form in ((name.encode(), ">I"), (kind.encode(), ">I"), (body, ">Q")):
            h.update(struct.pack(form, len(data)) + data)
    return h.hexdigest()


def balance(ledger):
    """What a ledger has too much on one side; 0 in good books."""
    return (ledger["offered"] + ledger["replayed"] - ledger["delivered"] - ledger["duplicate"] - ledger["dead_lettered"] -
            sum(ledger["dropped"].values()) - ledger["queued"] - ledger["in_flight"] - ledger["on_disk"])


def problem(answer, status, *words):
    """An RFC 9457 error of this status; returns it."""
    equal(answer.status, status, repr(answer))
    equal(answer.type, "application/problem+json", repr(answer))
    p = answer.json
    equal(p["status"], status, repr(p))
    for key in ("type", "title", "detail"):
        if not isinstance(p[key], str) or not p[key]:
            raise AssertionError(f"{key} of {p}")
    programs.contains(json.dumps(p), *words)
    return p


class Server(Program):
    def __init__(self, fleet, argv, env, data):
        super().__init__(fleet.dir, "fettled", argv, env)
        self.data = data
        self.agents_at = self.api_at = self.debug_at = None

    def listening(self):
        def said():
            if not self.runs():
                raise AssertionError(f"fettled ended with {self.child.returncode}: {self.err[-1500:]}")
            return LISTENING.search(self.out)
        m = until("fettled says where it listens", said)
        self.agents_at, self.api_at, self.debug_at = m.groups()
        return self

    # ---- HTTP ----

    @property
    def token(self):
        with open(os.path.join(self.data, "admin-token")) as f:
            return f.read().strip()

    def http(self, method, path, body=None, kind=None, headers=None, token=True, address=None):
        head = dict(headers or {})
        if token:
            head["Authorization"] = "Bearer " + (self.token if token is True else token)
        if isinstance(body, (dict, list)):
            body, kind = json.dumps(body).encode(), kind or "application/json"
        if kind is not None:
            head["Content-Type"] = kind
        return client.request(address or self.api_at.split(",")[0], method, path, body, head)

    def get(self, path):
        a = self.http("GET", path)
        equal(a.status, 200, f"GET {path}: {a.body[:300]!r}")
        return a.json

    def post(self, path, body, status=201):
        a = self.http("POST", path, body)
        equal(a.status, status, f"POST {path}: {a.body[:300]!r}")
        return a.json

    def put_group(self, name, selector="", priority=0, status=None, **more):
        a = self.http("PUT", f"/api/v1/agent-groups/{name}", {"selector": selector, "priority": priority, **more})
        if a.status not in ((status,) if status else (200, 201)):
            raise AssertionError(f"PUT of group {name}: {a}")
        return a

    def push_call(self, body, object_name="app.conf", group="default", kind=TEXT):
        query = urllib.parse.urlencode({"object": object_name})
        return self.http("PUT", f"/api/v1/agent-groups/{group}/configuration?{query}", body, kind)

    def push(self, *args, **kwargs):
        a = self.push_call(*args, **kwargs)
        equal(a.status, 202, f"push: {a.body[:300]!r}")
        return a.json

    def agents(self, **query):
        return self.get("/api/v1/agents?" + urllib.parse.urlencode(query))["items"]

    def agent(self, uid):
        return self.get(f"/api/v1/agents/{uid}")

    def exporters(self):
        return {x["name"]: x for x in self.get("/api/v1/exporters")["items"]}

    def metrics(self):
        a = client.request(self.debug_at.split(",")[0], "GET", "/metrics")
        equal(a.status, 200, "/metrics")
        return client.Metrics(a.body.decode())

    def pushes(self):
        return int(self.metrics().sum("fettle_config_pushes_total"))

    def malformed(self):
        return int(self.metrics().sum("fettle_agent_messages_total", transport="tcp", type="malformed"))

    # ---- what is stored ----

    def rows(self, columns="*", where="1"):
        db = sqlite3.connect(f"file:{self.data}/metrics.db?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(f"SELECT {columns} FROM process_metrics WHERE {where}").fetchall()
        except sqlite3.Error as e:
            raise ValueError(f"metrics.db: {e}") from e
        finally:
            db.close()

    def peer(self, *args, **kwargs):
        """A simulated agent."""
        return Peer(self.agents_at.split(",")[0], *args, **kwargs)

    def events(self, query="", last_id=None, **options):
        return client.Events(self.api_at.split(",")[0], self.token, query, last_id, **options)

    def healthy_books(self):
        for name, x in self.exporters().items():
            equal(balance(x["ledger"]), 0, f"the books of {name}: {x['ledger']}")
        m = self.metrics()
        equal(m.sum("fettle_samples_imbalance"), 0, "fettle_samples_imbalance")
        equal(m.sum("runnel_tasks_leaked"), 0, "runnel_tasks_leaked")


class Agent:
    """A real agent with one supervised worker. It can be started again, after whatever ended it."""

    def __init__(self, fleet, name, settings, env):
        self.fleet, self.name, self.env = fleet, name, env
        self.dir = os.path.join(fleet.dir, name)
        os.makedirs(self.dir, exist_ok=True)
        self.conf, self.seen = os.path.join(self.dir, "app.conf"), os.path.join(self.dir, "seen")
        self.file = os.path.join(self.dir, "agent.yaml")
        with open(self.file, "w") as f:
            f.write(settings)
        self.program = None
        self.uid = None

    def start(self, env=None):
        self.program = Program(self.dir, "fettle-agent", [f"{self.fleet.build}/fettle-agent", "--config", self.file],
                               {**self.env, **(env or {})})
        return self

    @property
    def server(self):
        return self.fleet.server

    def online(self, seconds=programs.CEILING):
        """Wait until the server shows it online, by its label, and its worker has come as far as to load something: a HUP before
        that would rightly cost a restart."""
        def look():
            if not self.program.runs():
                raise AssertionError(f"the agent ended with {self.program.child.returncode}: {self.program.err[-1500:]}")
            items = self.server.agents(selector=f"name={self.name}", status="online")
            return items and items[0]["instance_uid"]
        self.uid = until(f"{self.name} is online", look, seconds)
        until(f"the worker of {self.name} has started", self.loads, seconds)
        return self

    def show(self):
        return self.server.agent(self.uid)

    def config(self):
        return self.show()["config"]

    def settles(self, status, wanted_hash=None, seconds=programs.CEILING):
        """Wait for a status of the configuration that is desired now."""
        def look():
            c = self.config()
            return c if c["status"] == status and wanted_hash in (None, c["desired_hash"]) else None
        try:
            return until(f"{self.name} is {status}", look, seconds)
        except AssertionError as e:
            raise AssertionError(f"{e}; it shows {self.config()}; it said {self.program.err[-1500:]}") from None

    def applied(self, wanted_hash=None, seconds=programs.CEILING):
        return self.settles("APPLIED", wanted_hash, seconds)

    def failed(self, *words, seconds=programs.CEILING):
        c = self.settles("FAILED", None, seconds)
        programs.contains(c["error"], *words)
        return c

    def body(self):
        try:
            with open(self.conf, "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def loads(self):
        """The hashes that the worker took up, one per load."""
        try:
            with open(self.seen) as f:
                return [line.split()[1] for line in f.read().splitlines()]
        except FileNotFoundError:
            return []

    def workers(self):
        return [pid for pid, command in programs.children_of(self.program.pid) if "worker.py" in command]


class Fleet:
    def __init__(self, folder):
        self.dir, self.build = folder, programs.build_folder()
        self.server, self.agents, self.peers = None, [], []
        self.helpers = []  # other processes of the test (servers.Backend), ended last and looked after by the test until then
        self.settings = None

    def __enter__(self):
        programs.become_subreaper()
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.end_in_order()
        finally:
            self.end_all()

    # ---- starting ----

    def start_server(self, more="", heartbeat="1s", env=None, data=None, exporters=None, wait=True, options=()):
        """On free ports. `more` is added to the settings."""
        data = data or os.path.join(self.dir, "data")
        path = os.path.join(self.dir, "fettled.yaml")
        text = f"agents: {{heartbeat: {heartbeat}}}\n" if "agents:" not in more else ""
        text += more + ("\n" if more else "") + (f"exporters: {exporters}\n" if exporters else "")
        with open(path, "w") as f:
            f.write(text)
        self.settings = [f"{self.build}/fettled", "--config", path, "--data", data, *options]
        return self._server(self.settings + self.free_ports(options), env, data, wait)

    @staticmethod
    def free_ports(options):
        out = []
        for name in ("--agents", "--api", "--debug"):
            if name not in options:
                out += [name, "127.0.0.1:0"]
        return out

    def _server(self, argv, env, data, wait=True):
        self.server = Server(self, argv, env, data)
        if wait:
            self.server.listening()
        return self.server

    def restart_server(self, env=None):
        """The same settings on the same addresses; the old one must be gone."""
        old, argv = self.server, list(self.settings)
        if old.runs():
            raise AssertionError("the old server still runs")
        for option, addresses in (("--agents", old.agents_at), ("--api", old.api_at), ("--debug", old.debug_at)):
            if option not in argv:
                for a in addresses.split(","):
                    argv += [option, a]
        return self._server(argv, env, old.data)

    def start_agent(self, name="agent", start=True, **settings):
        a = Agent(self, name, self.agent_settings(name, **settings), settings.get("env") or {})
        self.agents.append(a)
        return a.start() if start else a

    def agent_settings(self, name, server=None, labels=None, window="300ms", grace="100ms", base="100ms", objects=None, lines="stdout",
                       on_change="signal HUP", command=None, **_):
        folder = os.path.join(self.dir, name)
        objects = objects if objects is not None else {"app.conf": "app.conf"}
        pairs = ", ".join(f"{k}: {v}" for k, v in {"name": name, **(labels or {})}.items())
        command = command or [PYTHON, "-I", "-S", os.path.join(programs.HERE, "worker.py"), f"{folder}/app.conf", f"{folder}/seen"]
        server = server or "tcp://" + self.server.agents_at.split(",")[0]
        return (f"server: {json.dumps(server)}\nstate: ./state\nlabels: {{{pairs}}}\n"
                f"reconnect: {{base: {base}, max: 1s}}\n"
                f"processes:\n  - name: worker\n    command: {json.dumps(command)}\n    objects: {json.dumps(objects)}\n"
                f"    on_change: {on_change}\n    start_grace: {grace}\n    health: {{window: {window}}}\n    lines: {lines}\n")

    def cli(self, *args, seconds=programs.CEILING):
        """The operator's command line, with the server and token of this fleet in its environment."""
        env = {"FETTLE_SERVER": "http://" + self.server.api_at.split(",")[0], "FETTLE_TOKEN": self.server.token, "NO_COLOR": "1"}
        return programs.run([f"{self.build}/fettle", *args], env, self.dir, seconds)

    # ---- ending ----

    def end_in_order(self):
        if self.server and self.server.runs():
            self.server.healthy_books()
        for a in self.agents:
            if a.program and not a.program.killed:
                equal(a.program.stop(), 0, f"exit code of {a.name}: {a.program.err[-1500:]}")
        if self.server and not self.server.killed:
            equal(self.server.stop(), 0, f"exit code of fettled: {self.server.err[-1500:]}")
        known = [p.pid for p in self.programs()]

        def nobody_left():
            programs.reap_orphans(known)
            helpers = {h.pid for h in self.helpers if h.runs()}
            left = [c for c in programs.children_of(os.getpid()) if c[0] not in helpers]
            if left:
                raise ValueError(left)
            return True
        until("no process is left behind", nobody_left, 15)

    def programs(self):
        return [p for p in [self.server, *(a.program for a in self.agents)] if p]

    def end_all(self):
        for p in self.programs() + self.helpers:
            if p.runs():
                p.kill()
        for pid, _ in programs.children_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except OSError:
                pass
