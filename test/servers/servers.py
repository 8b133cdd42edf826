"""Real back ends for tests: private folders and ports, started in seconds, ended by their number with the test.

    db = servers.Influx(folder)          # raises tap.Skip where it is not installed
    db.start()                           # and waits until it answers
    db.stored()                          # {(agent id, boot id, seq)}
    db.hang(); db.resume(); db.stop(); db.start()

The same port and folder at every start. `exporter()` is what stands under `exporters:` for it.
"""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../e2e"), os.path.join(HERE, "../tools")]
import tap  # noqa: E402
from programs import Program, build_folder, run, until  # noqa: E402


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def need(*paths):
    for p in paths:
        if not shutil.which(p):
            raise tap.Skip(f"{p} is not installed")


class Backend:
    name = ""

    def __init__(self, folder):
        self.dir = os.path.join(folder, self.name)
        os.makedirs(self.dir)
        self.port = free_port()
        self.program = None
        self.prepare()

    def prepare(self):
        """Once."""

    def argv(self):
        raise NotImplementedError

    def answers(self):
        """True when it can be used; OSError or False: not yet."""
        raise NotImplementedError

    def start(self):
        self.program = Program(self.dir, self.name, self.argv())

        def look():
            if not self.program.runs():
                raise AssertionError(f"{self.name} ended with {self.program.child.returncode}: "
                                     f"{self.program.out[-800:]} {self.program.err[-800:]}")
            return self.answers()
        until(f"{self.name} answers", look, 90, 0.05)
        return self

    def hang(self):
        self.program.signal(signal.SIGSTOP)

    def resume(self):
        self.program.signal(signal.SIGCONT)

    def stop(self):
        """In order: what it said to have stored is there at the next start."""
        self.program.stop()

    # for those who look after processes (fleet.Fleet.helpers)

    @property
    def pid(self):
        return self.program.pid

    def runs(self):
        return bool(self.program) and self.program.runs()

    def kill(self):
        if self.program:
            self.program.kill()

    def http(self, method, target, body=None, kind=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            c.request(method, target, body, {"Content-Type": kind} if kind else {})
            r = c.getresponse()
            return r.status, r.read()
        except http.client.HTTPException as e:
            raise ConnectionError(repr(e)) from e
        finally:
            c.close()


class Influx(Backend):
    """InfluxDB 1.6."""
    name = "influxd"

    def prepare(self):
        need("influxd")
        self.rpc = free_port()
        with open(os.path.join(self.dir, "conf"), "w") as f:
            f.write(f'reporting-disabled = true\nbind-address = "127.0.0.1:{self.rpc}"\n'
                    f'[meta]\n  dir = "{self.dir}/meta"\n'
                    f'[data]\n  dir = "{self.dir}/data"\n  wal-dir = "{self.dir}/wal"\n'
                    f'[http]\n  bind-address = "127.0.0.1:{self.port}"\n  log-enabled = false\n'
                    '[monitor]\n  store-enabled = false\n')

    def argv(self):
        return ["influxd", "-config", os.path.join(self.dir, "conf")]

    def answers(self):
        return self.http("GET", "/ping")[0] == 204

    def query(self, q):
        status, body = self.http("POST", "/query?" + urllib.parse.urlencode({"db": "fettle", "epoch": "ns", "q": q}))
        if status != 200:
            raise ValueError(body)
        return json.loads(body)["results"][0]

    def create_database(self):
        self.query("CREATE DATABASE fettle")

    def stored(self):
        found = set()
        for series in self.query("SELECT boot_id, seq FROM process_metrics GROUP BY agent_id").get("series", []):
            found |= {(series["tags"]["agent_id"], boot, seq) for _, boot, seq in series["values"]}
        return found

    def exporter(self, more=""):
        return f'{{name: in, type: influxdb, url: "http://127.0.0.1:{self.port}", database: fettle{more}}}'


class Maria(Backend):
    """MariaDB 10.11."""
    name = "mariadbd"
    server, install = "/usr/sbin/mariadbd", "/usr/bin/mariadb-install-db"
    options = ["--innodb-buffer-pool-size=32M", "--performance-schema=OFF", "--character-set-server=utf8mb4"]

    def prepare(self):
        need(self.server, self.install, "mariadb")
        r = run([self.install, "--no-defaults", *self.user(), f"--datadir={self.dir}/data", "--skip-test-db",
                 "--auth-root-authentication-method=normal", *self.options])
        if r.returncode:
            raise AssertionError(f"mariadb-install-db: {r.stdout[-500:]} {r.stderr[-500:]}")

    @staticmethod
    def user():
        return ["--user=root"] if os.geteuid() == 0 else []

    def argv(self):
        return [self.server, "--no-defaults", *self.user(), f"--datadir={self.dir}/data", f"--socket={self.dir}/s", f"--port={self.port}",
                "--bind-address=127.0.0.1", f"--pid-file={self.dir}/pid", *self.options]

    def query(self, sql):
        """Rows of text."""
        r = run(["mariadb", "--no-defaults", "-S", f"{self.dir}/s", "-uroot", "-N", "-B", "-e", sql])
        if r.returncode:
            raise ValueError(r.stderr)
        return [line.split("\t") for line in r.stdout.splitlines()]

    def answers(self):
        return self.query("SELECT 1") == [["1"]]

    def create_database(self):
        self.query("CREATE DATABASE IF NOT EXISTS fettle; CREATE USER IF NOT EXISTS fettle@'127.0.0.1' IDENTIFIED BY 'hunter2';"
                   "GRANT ALL ON fettle.* TO fettle@'127.0.0.1'")
        with open(os.path.join(self.dir, "my.pw"), "w") as f:
            f.write("hunter2\n")

    def stored(self):
        return {(a, b, int(s)) for a, b, s in self.query("SELECT agent_id, boot_id, seq FROM fettle.process_metrics")}

    def exporter(self):
        return f"{{name: my, type: mysql, host: 127.0.0.1, port: {self.port}, password_file: {self.dir}/my.pw}}"


class OpenSearch(Backend):
    """OpenSearch 2.19 on the machine's Java; its jars come once from Maven into the build folder."""
    name = "opensearch"

    @classmethod
    def jars(cls):
        home = os.environ.get("OPENSEARCH_HOME", os.path.join(build_folder(), "opensearch"))
        done = os.path.join(home, "classes", "Os.class")
        if os.path.exists(done):
            return home
        need("java", "javac", "mvn")
        os.makedirs(home, exist_ok=True)
        shutil.copy(os.path.join(HERE, "opensearch.pom"), os.path.join(home, "pom.xml"))
        try:
            r = run(["mvn", "-B", "-q", "dependency:copy-dependencies", f"-DoutputDirectory={home}/lib"], cwd=home, seconds=180)
        except subprocess.TimeoutExpired:
            raise tap.Skip("Maven does not give OpenSearch within 180 s") from None
        if r.returncode:
            raise tap.Skip(f"Maven does not give OpenSearch: {(r.stdout + r.stderr).strip()[:200]!r}")
        r = run(["javac", "-cp", f"{home}/lib/*", "-d", f"{home}/classes", os.path.join(HERE, "Os.java")])
        if r.returncode:
            raise AssertionError(r.stderr)
        return home

    def prepare(self):
        self.home = self.jars()
        self.transport = free_port()

    def argv(self):
        settings = f"network.host=127.0.0.1,discovery.type=single-node,http.port={self.port},transport.port={self.transport}"
        return ["java", "-Xms512m", "-Xmx512m", f"-Des={settings}", "-cp", f"{self.home}/lib/*:{self.home}/classes", "Os",
                "-basePath", f"{self.dir}/data", "-clusterName", "t", "-numOfNode", "1"]

    def answers(self):
        return self.http("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s")[0] == 200

    def call(self, method, target, body=None):
        status, answer = self.http(method, target, body and json.dumps(body), "application/json")
        if status >= 300:
            raise ValueError(answer)
        return json.loads(answer)

    def block(self, on):
        """What it does by itself when the disk passes the flood-stage watermark."""
        self.call("PUT", "/fettle-process-metrics/_settings", {"index.blocks.read_only_allow_delete": on or None})

    def create_database(self):
        """The template is the exporter's, the index comes by itself."""

    def stored(self):
        self.call("POST", "/fettle-process-metrics/_refresh")
        found = self.call("POST", "/fettle-process-metrics/_search",
                          {"size": 10000, "_source": ["agent_id", "boot_id", "seq"], "track_total_hits": True})["hits"]
        if found["total"]["value"] > 10000:
            raise AssertionError("more documents than one search shows")
        return {(d["_source"]["agent_id"], d["_source"]["boot_id"], d["_source"]["seq"]) for d in found["hits"]}

    def exporter(self):
        return f'{{name: es, type: elasticsearch, url: "http://127.0.0.1:{self.port}"}}'
