"""What an agent does with a server that is wrong, slow or hostile: it hangs up, tries again, and its process runs on untouched. The server
is played by the test."""

import os
import signal
import socket
import struct

from fleet import Agent, Fleet, tap
from opamp import METRICS, UNAVAILABLE, Closed, Wire, decode, field, first, frame
from programs import equal, until

MIB = 1 << 20


class FakeServer:
    """Accepts agents one by one."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(30)
        self.at = "127.0.0.1:%d" % self.listener.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        """The next connection, after its first message."""
        w = Wire(self.listener.accept()[0])
        w.uid = first(decode(w.read_message()), 1)
        return w


def reply(wire, *parts):
    return frame(field(1, wire.uid) + field(7, 0x27) + b"".join(parts))


class Lone(Agent):
    """An agent without a real server."""

    def begin(self):
        self.start()
        until("its worker has started", self.loads)
        return self


def lone_agent(f, server):
    a = Lone(f, "agent", f.agent_settings("agent", server=f"tcp://{server.at}"), {})
    f.agents.append(a)
    return a.begin()


def untouched(a):
    assert a.program.runs(), a.program.err[-1500:]
    equal((len(a.workers()), len(a.loads()), a.body()), (1, 1, None), "the worker, its loads, its file")


class HostileServer(tap.Tests):
    def test_whatever_is_no_message_is_hung_up_on_and_the_agent_comes_again(self):
        with FakeServer() as server, Fleet(self.dir) as f:
            a = lone_agent(f, server)
            noises = [
                lambda w: struct.pack(">I", 0),
                lambda w: struct.pack(">I", 0xffffffff) + b"x",
                lambda w: struct.pack(">I", 64 * MIB + 1) + b"\0",
                lambda w: struct.pack(">I", 8) + b"\7" * 8,
                lambda w: b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
                lambda w: b"\x15\x03\x03\x00\x02\x02\x28",
                lambda w: b"\xf0" + os.urandom(4096),
                lambda w: frame(field(1, w.uid) + b"\x1a\x64short"),
                lambda w: frame(field(3, field(1, b"\x0a\x00" * 100000))),
                lambda w: reply(w)[:-3],
            ]
            for n, noise in enumerate(noises):
                with server.accept() as w:
                    w.write(noise(w))
                    if n == len(noises) - 1:
                        w.socket.shutdown(socket.SHUT_WR)
                    try:
                        while True:
                            w.read_message()
                    except Closed:
                        pass
            untouched(a)
            with server.accept() as w:
                w.write(reply(w))
                until("the agent took the answer", lambda: "connected" in a.program.err)
            untouched(a)

    def test_a_server_that_answers_no_more_is_left(self):
        with FakeServer() as server, Fleet(self.dir) as f:
            a = lone_agent(f, server)
            with server.accept() as w:
                every_second = field(4, field(1, b"h" * 32) + field(2, field(4, 1)))
                w.write(reply(w, every_second))
                try:
                    while True:
                        w.read_message()
                except Closed:
                    pass
            server.accept().close()
            untouched(a)

    def test_who_is_told_to_come_back_later_waits_as_long_as_it_was_told(self):
        with FakeServer() as server, Fleet(self.dir) as f:
            a = lone_agent(f, server)
            with server.accept() as w:
                later = field(1, UNAVAILABLE) + field(2, "later") + field(3, field(1, 1500 * 10**6))
                w.write(frame(field(1, w.uid) + field(2, later)))
            server.listener.settimeout(1.2)
            try:
                server.listener.accept()
                raise AssertionError("it came back too early")
            except TimeoutError:
                pass
            server.listener.settimeout(30)
            server.accept().close()
            untouched(a)

    def test_an_offer_of_names_that_are_paths_writes_nothing_and_reads_failed(self):
        with FakeServer() as server, Fleet(self.dir) as f:
            a = lone_agent(f, server)
            names = ["../escape", "/etc/escape", "app.conf/../x", ".", ""]
            with server.accept() as w:
                w.write(reply(w))
                for n, name in enumerate(names, 1):
                    entry = field(1, name) + field(2, field(1, b"pwned\n") + field(2, "text/plain"))
                    w.write(reply(w, field(3, field(1, field(1, entry)) + field(2, bytes([n]) * 32))))
                    status = None
                    while status is None or first(status, 2, 0) != 3:
                        m = decode(w.read_message())
                        status = decode(m[7][0]) if 7 in m else status
                        w.write(reply(w))
                    equal(first(status, 1), bytes([n]) * 32)
            untouched(a)
            equal([p for p in (self.dir, a.dir, "/etc") if os.path.exists(os.path.join(p, "escape"))], [])

    def test_an_agent_ends_in_order_while_its_server_hangs(self):
        with FakeServer() as server, Fleet(self.dir) as f:
            a = lone_agent(f, server)
            with server.accept() as w:
                w.write(reply(w, field(10, field(1, METRICS))))
                a.program.signal(signal.SIGTERM)
                equal(a.program.wait(), 0)


if __name__ == "__main__":
    tap.main(HostileServer)
