"""The third story: what a keep-alive request costs in system calls, counted by strace from outside, beside Go's net/http."""

import os
import shutil
import signal

import story
from story import Served, tap

import client
import gopeer
from counted import Counted
from fleet import Fleet
from programs import build_folder
from waves import Client

COUNT = 10000
RECEIVE = ("recvfrom", "read", "recvmsg", "readv")
SEND = ("sendto", "write", "sendmsg", "writev")


def count(folder, pid, address, path, connections, token=None, follow=False):
    """The table of COUNT requests; connecting and closing are not in it."""
    with Client(address, path, connections, token) as c:
        c.get(connections)  # warm, and idle when strace comes
        with Counted(folder, pid, follow) as counted:
            c.get(COUNT)
    return counted


def within_bounds(c, what):
    """Two calls of input and output a request and 2 % for wake-ups; hardly a futile recv; no futex."""
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

    def example(self, connections):
        self.setup()
        with Served(self.dir, "http", [f"{build_folder()}/http", "--listen", "127.0.0.1:0", "--debug", "127.0.0.1:0"]) as p:
            within_bounds(count(self.dir, p.pid, p.at["http"], "/test", connections), f"http, {connections} connections")

    def test_a_request_of_examples_http_costs_one_recv_and_one_send_on_1_connection(self):
        self.example(1)

    def test_a_request_of_examples_http_costs_one_recv_and_one_send_on_64_connections(self):
        self.example(64)

    def fettled(self, connections):
        self.setup()
        with Fleet(self.dir) as f:
            s = f.start_server(heartbeat="30s")
            peer = s.peer()
            peer.introduce()
            path = f"/api/v1/agents/{peer.name}"
            within_bounds(count(self.dir, s.pid, s.api_at, path, connections, s.token), f"fettled, {connections} connections")
            peer.close()

    def test_reading_an_agent_from_fettled_costs_the_same_on_1_connection(self):
        self.fettled(1)

    def test_reading_an_agent_from_fettled_costs_the_same_on_64_connections(self):
        self.fettled(64)

    def test_the_program_counts_its_calls_as_strace_does(self):
        self.setup()
        with Served(self.dir, "http", [f"{build_folder()}/http", "--listen", "127.0.0.1:0", "--debug", "127.0.0.1:0"]) as p:
            def inside():
                text = client.request(p.at["debug"], "GET", "/debug/syscalls").body.decode()
                rows = [line.split() for line in text.split("\n\n")[0].splitlines()[2:] if "total" not in line and "---" not in line]
                return {r[-1]: int(r[3]) for r in rows}
            with Client(p.at["http"], "/test", 16, None) as c:
                c.get(16)
                before = inside()
                with Counted(self.dir, p.pid) as counted:
                    c.get(COUNT)
                after = inside()
            for name in sorted(set(after) | set(counted.table)):
                ours, theirs = after.get(name, 0) - before.get(name, 0), counted.row(name).calls
                # the window's own answers are in ours, and what strace itself interrupts is in its table
                allowed = theirs / 100 if theirs >= 1000 else 10
                if name in after:
                    assert abs(ours - theirs) <= allowed, f"{name}: {ours} inside, {theirs} by strace\n{counted.text}"

    def test_net_http_of_go_makes_more_calls_for_the_same(self):
        self.setup()
        program, why = gopeer.build(os.path.join(story.HERE, "peers/nethttp"), build_folder())
        if not program:
            raise tap.Skip(why)
        p = Served(self.dir, "nethttp", [program])
        try:
            for connections in (1, 64):
                c = count(self.dir, p.pid, p.at["http"], "/test", connections, follow=True)
                calls = c.row(*RECEIVE).calls + c.row(*SEND).calls
                assert calls >= 2 * COUNT, f"the comparison counted too little\n{c.text}"
        finally:
            p.signal(signal.SIGTERM)
            p.wait()


if __name__ == "__main__":
    tap.main(NoisySockets)
