"""The third story: what a keep-alive request costs in system calls, counted by strace from outside and by the program itself, beside
Go's net/http."""

import os
import shutil
import signal

import story
from story import Served, tap

import client
import gopeer
from counted import NONE, Counted, Row, read_table
from fleet import Fleet
from programs import build_folder, equal
from waves import Client

COUNT = 10000
RECEIVE = ("recvfrom", "read", "recvmsg", "readv")
SEND = ("sendto", "write", "sendmsg", "writev")


def own_table(address):
    """What the program counted itself, as its debug window shows it."""
    a = client.request(address, "GET", "/debug/syscalls")
    equal(a.status, 200, "/debug/syscalls")
    return read_table(a.body.decode(), 3)


def difference(after, before):
    return {name: Row(row.calls - before.get(name, NONE).calls, row.errors - before.get(name, NONE).errors)
            for name, row in after.items()}


def count(folder, pid, address, path, connections, token=None, debug=None):
    """The table of COUNT requests; connecting and closing are not in it. With the address of a debug window, of the worker alone, and
    the program's own table beside it; else of all threads."""
    with Client(address, path, connections, token) as c:
        c.get(connections)  # warm, and idle when strace comes
        with Counted(folder, pid, follow=not debug) as counted:
            before = own_table(debug) if debug else {}
            c.get(COUNT)
            counted.own = difference(own_table(debug), before) if debug else {}
    return counted


def agree(c, what):
    """Rows of 1,000 calls or more within 1 %, others within 10; of the calls that pass the program's own door."""
    for name in sorted(c.own):
        ours, theirs = c.own[name].calls, c.table.get(name, NONE).calls
        bound = theirs / 100 if theirs >= 1000 else 10
        assert abs(ours - theirs) <= bound, f"{what}: {name}: {ours} by itself, {theirs} by strace\n{c.text}"


def within_bounds(c, what):
    """Both tables say the same: two calls of input and output a request and 2 % for wake-ups; hardly a futile recv; no futex."""
    agree(c, what)
    got, sent = c.row(*RECEIVE), c.row(*SEND)
    both = (got.calls + sent.calls) / COUNT
    assert both <= 2.02, f"{what}: {both:.3f} recv+send a request\n{c.text}"
    assert got.errors < COUNT / 100, f"{what}: {got.errors} futile recv\n{c.text}"
    assert c.row("futex").calls < COUNT / 1000, f"{what}: {c.row('futex').calls} futex\n{c.text}"
    assert c.row("epoll_wait", "epoll_pwait", "epoll_pwait2").calls <= COUNT * 1.02, f"{what}: more epoll_wait than requests\n{c.text}"


class NoisySockets(tap.Tests):
    def setup(self):
        if not shutil.which("strace"):
            raise tap.Skip("no strace")
        if story.sanitized():
            raise tap.Skip("a sanitizer makes system calls of its own")

    def http(self):
        return Served(self.dir, "http", [f"{build_folder()}/http", "--listen", "127.0.0.1:0", "--debug", "127.0.0.1:0"])

    def example(self, connections):
        self.setup()
        with self.http() as p:
            within_bounds(count(self.dir, p.pid, p.at["http"], "/test", connections, debug=p.at["debug"]),
                          f"http, {connections} connections")

    def test_a_request_of_examples_http_costs_one_recv_and_one_send_on_1_connection_by_strace_and_by_itself(self):
        self.example(1)

    def test_a_request_of_examples_http_costs_one_recv_and_one_send_on_64_connections_by_strace_and_by_itself(self):
        self.example(64)

    def fettled(self, connections):
        self.setup()
        with Fleet(self.dir) as f:
            s = f.start_server(heartbeat="30s")
            peer = s.peer()
            peer.introduce()
            path = f"/api/v1/agents/{peer.name}"
            within_bounds(count(self.dir, s.pid, s.api_at, path, connections, s.token, s.debug_at), f"fettled, {connections} connections")
            peer.close()

    def test_reading_an_agent_from_fettled_costs_the_same_on_1_connection(self):
        self.fettled(1)

    def test_reading_an_agent_from_fettled_costs_the_same_on_64_connections(self):
        self.fettled(64)

    def test_net_http_of_go_makes_more_calls_for_the_same(self):
        self.setup()
        program, why = gopeer.build(os.path.join(story.HERE, "peers/nethttp"), build_folder())
        if not program:
            raise tap.Skip(why)
        p = Served(self.dir, "nethttp", [program])
        try:
            with self.http() as ours:
                for connections in (1, 64):
                    here, there = (count(self.dir, x.pid, x.at["http"], "/test", connections) for x in (ours, p))
                    assert here.calls() >= 2 * COUNT, f"the comparison counted too little\n{here.text}"
                    assert there.calls() > here.calls(), f"{connections} connections\n{here.text}\n{there.text}"
        finally:
            p.signal(signal.SIGTERM)
            p.wait()


if __name__ == "__main__":
    tap.main(NoisySockets)
