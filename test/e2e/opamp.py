"""OpAMP over framed TCP as an agent speaks it: small, and independent of the product's codec.

A message is built from `field()`s and read into {number: [values]}; what the tests look at has names in `Reply`.
"""

import os
import socket
import struct
import time
import uuid

from client import connect

REPORTS_STATUS, ACCEPTS_REMOTE_CONFIG, REPORTS_EFFECTIVE_CONFIG = 0x1, 0x2, 0x4
ACCEPTS_SETTINGS, REPORTS_HEALTH, REPORTS_REMOTE_CONFIG = 0x100, 0x800, 0x1000
REPORTS_HEARTBEAT, REPORTS_SETTINGS_STATUS = 0x2000, 0x8000
CAPABILITIES = (REPORTS_STATUS | ACCEPTS_REMOTE_CONFIG | REPORTS_EFFECTIVE_CONFIG | ACCEPTS_SETTINGS | REPORTS_HEALTH |
                REPORTS_REMOTE_CONFIG | REPORTS_HEARTBEAT | REPORTS_SETTINGS_STATUS)
UNSET, APPLIED, APPLYING, FAILED = range(4)
BAD_REQUEST, UNAVAILABLE = 1, 2
REPORT_FULL_STATE = 1
METRICS = "io.fettle.process-metrics/1"


# ---- bytes ----

def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, value):
    """int: varint; float: fixed64; str and bytes: length-delimited."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    n = shift = 0
    while True:
        b = data[at]
        at += 1
        n |= (b & 0x7f) << shift
        shift += 7
        if b < 0x80:
            return n, at


def decode(data):
    out, at = {}, 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = read_varint(data, at)
        elif kind == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = data[at:at + size], at + size
        out.setdefault(key >> 3, []).append(value)
    return out


def first(message, number, default=None):
    return message.get(number, [default])[0]


# ---- agent to server ----

def attribute(key, value):
    return field(1, key) + field(2, field(1, value))


def description(identifying=None, other=None):
    parts = [field(1, attribute(k, v)) for k, v in (identifying or {"service.name": "simulated"}).items()]
    parts += [field(2, attribute(k, v)) for k, v in (other or {}).items()]
    return field(3, b"".join(parts))


def health(healthy=True, status="running"):
    return field(5, field(1, int(healthy)) + field(4, status))


def effective(objects):
    """objects: {name: (content type, body)}"""
    entries = [field(1, field(1, name) + field(2, field(1, body) + field(2, kind))) for name, (kind, body) in objects.items()]
    return field(6, field(1, b"".join(entries)))


def config_status(config_hash, status, error=""):
    return field(7, field(1, config_hash) + field(2, status) + (field(3, error) if error else b""))


def settings_status(settings_hash, status):
    return field(15, field(1, settings_hash) + field(2, status))


def custom_capabilities(*names):
    return field(12, b"".join(field(1, n) for n in names))


def process_metrics(boot, samples):
    """samples: [(seq, timestamp_ms)]"""
    data = field(1, boot)
    for seq, timestamp in samples:
        data += field(2, field(1, seq) + field(2, timestamp) + field(3, "host") + field(4, "127.0.0.1") + field(5, 4711) +
                      field(6, "worker") + field(7, "worker --fast") + field(8, 0.5) + field(9, 1 << 20) + field(10, seq * 10))
    return field(13, field(1, METRICS) + field(2, "ProcessMetrics") + field(3, data))


GOODBYE = field(9, b"")


def frame(message):
    """Framed TCP: length, header 0, the message."""
    return struct.pack(">I", len(message) + 1) + b"\0" + message


class Reply:
    """A ServerToAgent."""

    def __init__(self, data):
        self.fields = decode(data)
        self.uid = first(self.fields, 1)
        self.flags = first(self.fields, 6, 0)
        self.capabilities = first(self.fields, 7, 0)

    def __repr__(self):
        return f"<ServerToAgent {self.fields}>"

    @property
    def error(self):
        """(type, text, retry in ns or None), or None."""
        if 2 not in self.fields:
            return None
        e = decode(self.fields[2][0])
        retry = first(decode(e[3][0]), 1, 0) if 3 in e else None
        return first(e, 1, 0), first(e, 2, b"").decode(), retry

    @property
    def config(self):
        """(hash, {name: (content type, body)}), or None."""
        if 3 not in self.fields:
            return None
        offer = decode(self.fields[3][0])
        objects = {}
        for entry in decode(first(offer, 1, b"")).get(1, []):
            e = decode(entry)
            value = decode(first(e, 2, b""))
            objects[first(e, 1, b"").decode()] = first(value, 2, b"").decode(), first(value, 1, b"")
        return first(offer, 2, b""), objects

    @property
    def settings(self):
        """The raw fields of ConnectionSettingsOffers, or None."""
        return decode(self.fields[4][0]) if 4 in self.fields else None

    @property
    def new_uid(self):
        return first(decode(self.fields[8][0]), 1) if 8 in self.fields else None

    @property
    def custom_capabilities(self):
        return [n.decode() for n in decode(first(self.fields, 10, b"")).get(1, [])]

    @property
    def ack(self):
        """(boot, seq), or None."""
        if 11 not in self.fields:
            return None
        m = decode(self.fields[11][0])
        if first(m, 2) != b"MetricsAck":
            return None
        a = decode(first(m, 3, b""))
        return first(a, 1), first(a, 2, 0)


class Closed(EOFError):
    """The server hung up."""


class Wire:
    """A connection to an address, or one that was accepted, and frames on it. Nothing on it is right by itself."""

    def __init__(self, end):
        self.socket = connect(end) if isinstance(end, str) else end
        self.got = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def write(self, data):
        self.socket.sendall(data)

    def read(self, seconds=20.0):
        """The next Reply. Closed when the server hung up."""
        return Reply(self.read_message(seconds))

    def read_message(self, seconds=20.0):
        self.socket.settimeout(seconds)
        while len(self.got) < 4 or len(self.got) < 4 + struct.unpack(">I", self.got[:4])[0]:
            try:
                more = self.socket.recv(1 << 16)
            except ConnectionResetError:
                more = b""
            except socket.timeout:
                raise AssertionError(f"nothing came within {seconds:.0f} s") from None
            if not more:
                raise Closed(f"hung up, {len(self.got)} bytes of a frame had come")
            self.got += more
        size = 4 + struct.unpack(">I", self.got[:4])[0]
        data, self.got = self.got[4:size], self.got[size:]
        if data[:1] != b"\0":
            raise AssertionError(f"a frame without the header 0: {data[:20]!r}")
        return data[1:]

    def hung_up(self, seconds=15.0):
        """What still came before the server hung up. The promise is 5 s."""
        replies, end = [], time.monotonic() + seconds
        while True:
            try:
                replies.append(self.read(max(0.1, end - time.monotonic())))
            except Closed:
                return replies

    def refused(self, kind=BAD_REQUEST):
        """The server answered with this error_response, alone, and hung up. Its text."""
        replies = self.hung_up()
        errors = [r for r in replies if r.error]
        if len(errors) != 1 or replies[-1] is not errors[0]:
            raise AssertionError(f"wanted one error_response as the last message, got {replies}")
        if errors[0].error[0] != kind or set(errors[0].fields) - {1, 2}:
            raise AssertionError(f"wanted error_response {kind} alone, got {errors[0]}")
        return errors[0].error[1]


class Peer(Wire):
    """A simulated agent with one identity, that counts its messages."""

    def __init__(self, address, uid=None, seq=0, capabilities=CAPABILITIES):
        super().__init__(address)
        self.uid = uid or new_uid()
        self.seq, self.capabilities = seq, capabilities

    @property
    def name(self):
        return str(uuid.UUID(bytes=self.uid))

    def head(self):
        return field(1, self.uid) + field(2, self.seq) + field(4, self.capabilities)

    def send(self, *parts):
        self.seq += 1
        self.write(frame(self.head() + b"".join(parts)))

    def ask(self, *parts):
        """Send a message, and return the one reply to it."""
        self.send(*parts)
        return self.read()

    def introduce(self, *parts, status=None, labels=None, objects=None):
        """The full first message."""
        other = {"host.name": "simulated", "os.type": "linux", **{"fettle.label." + k: v for k, v in (labels or {}).items()}}
        status = status or field(7, b"")
        return self.ask(description(other=other), health(), effective(objects or {}), status, custom_capabilities(METRICS), *parts)


def new_uid():
    """A UUIDv7."""
    ms = int(time.time() * 1000)
    b = bytearray(ms.to_bytes(6, "big") + os.urandom(10))
    b[6] = b[6] & 0x0f | 0x70
    b[8] = b[8] & 0x3f | 0x80
    return bytes(b)
