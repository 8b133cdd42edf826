"""HTTP as an operator's script speaks it, over TCP or a unix socket, and Prometheus' text as a scraper reads it."""

import http.client
import json
import re
import socket

TIMEOUT = 30.0


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=TIMEOUT)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self.path)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def type(self):
        return self.headers.get("Content-Type", "").split(";")[0]

    def __repr__(self):
        return f"<{self.status} {self.type} {self.body[:400]!r}>"


def connect(address):
    """A plain socket to `host:port`, `[v6]:port` or `unix:path`."""
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(TIMEOUT)
        s.connect(address[5:])
        return s
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)


def request(address, method, path, body=None, headers=None):
    if address.startswith("unix:"):
        c = UnixConnection(address[5:])
    else:
        host, port = address.rsplit(":", 1)
        c = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=TIMEOUT)
    try:
        c.request(method, path, body, headers or {})
        r = c.getresponse()
        return Answer(r.status, r.headers, r.read())
    except http.client.HTTPException as e:
        raise ConnectionError(f"{method} {path}: {e!r}") from e
    finally:
        c.close()


LINE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape: [(name, labels, value)]."""

    def __init__(self, text):
        self.rows = []
        for line in text.splitlines():
            m = LINE.match(line)
            if m:
                self.rows.append((m[1], dict(LABEL.findall(m[2] or "")), float(m[3])))

    def sum(self, name, **labels):
        """Over all series of the name that have these labels; KeyError if there is none."""
        values = [v for n, l, v in self.rows if n == name and all(l.get(k) == w for k, w in labels.items())]
        if not values:
            raise KeyError(f"{name}{labels or ''} is not at /metrics")
        return sum(values)
