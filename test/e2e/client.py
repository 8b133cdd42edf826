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


def connect(address, window=None):
    """A plain socket to `host:port`, `[v6]:port` or `unix:path`; `window`: how much the kernel takes for who does not read (TCP)."""
    if address.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(TIMEOUT)
        s.connect(address[5:])
        return s
    host, port = address.rsplit(":", 1)
    if window is None:
        return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    s.settimeout(TIMEOUT)
    s.connect((host.strip("[]"), int(port)))
    return s


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


class Events:
    """A client of server-sent events, by its own hand: HTTP/1.1, chunks, blocks of lines."""

    def __init__(self, address, token, query="", last_id=None, window=None):
        self.socket = connect(address, window)
        self.raw, self.text, self.ended = b"", b"", False
        self.id = last_id
        resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        self.socket.sendall(f"GET /api/v1/events{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{resume}\r\n".encode())
        head = self._until(b"\r\n\r\n").decode()
        self.status = int(head.split()[1])
        self.headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head.split("\r\n")[1:])}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def _more(self):
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the connection ended in the middle of the stream")
        self.raw += part

    def _until(self, mark):
        while mark not in self.raw:
            self._more()
        found, _, self.raw = self.raw.partition(mark)
        return found

    def _chunk(self):
        size = int(self._until(b"\r\n"), 16)
        while len(self.raw) < size + 2:
            self._more()
        self.text, self.raw = self.text + self.raw[:size], self.raw[size + 2:]
        self.ended = size == 0

    def block(self):
        """The lines of the next block; None after the last one, of a stream that was ended in order."""
        while b"\n\n" not in self.text:
            if self.ended:
                return None
            self._chunk()
        block, _, self.text = self.text.partition(b"\n\n")
        return block.decode().split("\n")

    def next(self):
        """(type, data) of the next event; None at the end."""
        while (lines := self.block()) is not None:
            fields = dict(line.split(": ", 1) for line in lines)
            self.id = fields.get("id", self.id)
            if "data" in fields:
                return fields["event"], json.loads(fields["data"])
        return None

    def find(self, kind, **members):
        """The next event of that type that has these members; what comes before it is passed over."""
        seen = []
        while (event := self.next()) is not None:
            seen.append(event)
            if event[0] == kind and all(event[1].get(k) == v for k, v in members.items()):
                return event[1]
        raise AssertionError(f"no {kind} with {members} in {seen}")


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
