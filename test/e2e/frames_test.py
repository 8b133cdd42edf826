"""What a server does with wrong, slow and hostile agents, and how sessions begin, move and end. Every agent here is simulated; a quiet
one stands by throughout, and must not notice anything."""

import os
import socket
import struct
import time

import opamp
from fleet import TEXT, Fleet, tap
from opamp import (APPLIED, APPLYING, BAD_REQUEST, CAPABILITIES, FAILED, METRICS, REPORT_FULL_STATE, UNAVAILABLE, Wire, config_status,
                   field, frame, varint)
from programs import contains, equal, until

MIB = 1 << 20


class Bystander:
    """A healthy agent, connected before and after: others' mistakes are not its business."""

    def __init__(self, server):
        self.server, self.peer = server, server.peer()
        self.peer.introduce()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            reply = self.peer.ask()
            equal((reply.error, reply.flags), (None, 0), "the bystander's answer")
            equal(self.server.agent(self.peer.name)["status"], "online", "the bystander")
        self.peer.close()


def refusals(server, cases, kind=BAD_REQUEST):
    """Each of `cases` (a name and bytes, or (what comes first on the connection, then what)) is refused alone and counted."""
    before = server.malformed()
    for name, data in cases.items():
        with Wire(server.agents_at) as w:
            w.write(data)
            try:
                text = w.refused(kind)
            except AssertionError as e:
                raise AssertionError(f"{name}: {e}") from None
            assert text, name
    equal(server.malformed() - before, len(cases), "counted as malformed")


def agent_frame(*parts, uid=None, seq=1):
    return frame(field(1, uid or opamp.new_uid()) + field(2, seq) + field(4, CAPABILITIES) + b"".join(parts))


def nested(depth):
    """An attribute whose value lies `depth` lists deep: each list costs four bytes at first."""
    value = field(1, "x")
    for _ in range(depth):
        value = field(5, field(1, value))
    return field(3, field(1, field(1, "k") + field(2, value)))


class Malformed(tap.Tests):
    def test_a_malformed_frame_is_refused_alone_hung_up_on_and_counted(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            uid = opamp.new_uid()
            good = agent_frame()
            with Bystander(s):
                refusals(s, {
                    "length 0": struct.pack(">I", 0),
                    "only a header": struct.pack(">I", 1) + b"\0",
                    "header 1": struct.pack(">I", len(good) - 4) + b"\1" + good[5:],
                    "header of ten bytes": struct.pack(">I", 12) + b"\x80" * 10 + b"\0\0",
                    "uid of 15 bytes": agent_frame(uid=uid[:15]),
                    "uid of 17 bytes": agent_frame(uid=uid + b"x"),
                    "no uid": frame(field(2, 1) + field(4, CAPABILITIES)),
                    "a field that ends too early": frame(field(1, uid) + varint(3 << 3 | 2) + varint(100) + b"short"),
                    "a varint without an end": frame(field(1, uid) + b"\x10" + b"\xff" * 11),
                    "wire type 7": frame(field(1, uid) + b"\x57"),
                    "a group": frame(field(1, uid) + b"\x53\x54"),
                    "field number 0": frame(field(1, uid) + b"\x02\x01x"),
                    "a string that is no UTF-8": agent_frame(field(5, field(4, b"\xff\xfe"))),
                    "a NUL in a string": agent_frame(field(5, field(4, b"a\0b"))),
                    "a scalar where a message belongs": agent_frame(varint(3 << 3) + varint(5)),
                })

    def test_nesting_and_floods_of_elements_are_refused_before_they_cost_anything(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with Bystander(s):
                refusals(s, {
                    "80 nested values": agent_frame(nested(80)),
                    "20000 nested values": agent_frame(nested(20000)),
                    "4 MiB of empty repeated fields": agent_frame(field(3, b"\x0a\x00" * (2 * MIB - 64))),
                    "70000 capabilities": agent_frame(field(12, b"\x0a\x00" * 70000)),
                })
                equal(s.metrics().sum("process_resident_memory_bytes") < 512 * MIB, True)

    def test_a_frame_over_the_limit_is_refused_at_its_length(self):
        with Fleet(self.dir) as f:
            s = f.start_server("agents: {heartbeat: 1s, message_max: 64KiB}")
            with Bystander(s):
                refusals(s, {
                    "4 GiB": struct.pack(">I", 0xffffffff),
                    "128 MiB": struct.pack(">I", 128 * MIB) + b"\0",
                    "one byte too many": struct.pack(">I", 64 * 1024 + 1) + b"\0",
                })
                with s.peer() as p:
                    p.introduce()
                    pad = field(5, field(4, "x" * 60000))
                    equal(p.ask(pad).error, None)

    def test_other_protocols_and_noise_on_the_agents_port_are_hung_up_on(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            hello = (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(508))
            noises = {
                "HTTP": b"GET /v1/opamp HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n",
                "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
                "TLS": hello,
                "zeros": b"\0" * 64,
                "ones": b"\xff" * 64,
                "text": b"hello there, is this the right place?\r\n",
                "random": b"\xf0" + os.urandom(4096),
            }
            with Bystander(s):
                before = s.malformed()
                for name, data in noises.items():
                    with Wire(s.agents_at) as w:
                        try:
                            w.write(data)
                            replies = w.hung_up()
                        except (BrokenPipeError, ConnectionResetError):
                            continue
                        assert len(replies) <= 1 and all(r.error for r in replies), (name, replies)
                until("all counted", lambda: s.malformed() - before == len(noises))

    def test_a_frame_that_breaks_off_is_counted_and_the_connection_ends(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with Bystander(s):
                before = s.malformed()
                data = agent_frame(opamp.description())
                for cut in (2, 4, 5, len(data) - 1):
                    with Wire(s.agents_at) as w:
                        w.write(data[:cut])
                        w.socket.shutdown(socket.SHUT_WR)
                        w.hung_up()
                until("all counted", lambda: s.malformed() - before == 4)

    def test_a_slow_frame_is_refused_after_its_time(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with Bystander(s):
                before = s.malformed()
                data = agent_frame(opamp.description())
                half, prefix, later, dripping = (Wire(s.agents_at) for _ in range(4))
                silent = Wire(s.agents_at)
                half.write(data[:len(data) // 2])
                prefix.write(data[:2])
                later.write(data)
                equal(later.read().error, None)
                later.write(agent_frame(seq=2)[:9])
                start = time.monotonic()
                sent = 0
                try:
                    while time.monotonic() < start + 15 and sent < len(data) - 1:
                        dripping.write(data[sent:sent + 1])
                        sent += 1
                        dripping.socket.settimeout(0.4)
                        try:
                            if dripping.socket.recv(1, socket.MSG_PEEK):
                                break
                        except socket.timeout:
                            pass
                except OSError:
                    pass
                for w in (half, prefix, later):
                    w.refused(BAD_REQUEST)
                silent.hung_up()
                dripping.hung_up()
                assert time.monotonic() - start < 15
                assert s.malformed() - before >= 4, s.malformed() - before
                for w in (half, prefix, later, dripping, silent):
                    w.close()

    def test_many_wrong_agents_at_once_do_not_disturb_the_right_ones(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            before = s.malformed()
            with Bystander(s) as b:
                wires = [Wire(s.agents_at) for _ in range(100)]
                for i, w in enumerate(wires):
                    w.write([struct.pack(">I", 0), b"\xff" * 64, agent_frame(uid=b"short")][i % 3])
                    if i % 10 == 0:
                        equal(b.peer.ask().error, None)
                for w in wires:
                    w.refused()
                    w.close()
            equal(s.malformed() - before, 100)
            until("their connections are gone", lambda: s.metrics().sum("rnet_connections", listener="agents") == 0)


class Sessions(tap.Tests):
    def test_the_first_reply_tells_what_the_server_can_and_takes_metrics(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                reply = p.introduce()
                equal(reply.uid, p.uid)
                equal(reply.capabilities & 0x27, 0x27)
                contains(reply.custom_capabilities, METRICS)
                equal(p.ask().flags, 0)

    def test_every_message_gets_exactly_one_reply_in_order(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                p.introduce()
                for _ in range(200):
                    p.send()
                for _ in range(200):
                    equal(p.read().error, None)
                equal(s.agent(p.name)["sequence_num"], p.seq)

    def test_a_gap_in_the_sequence_asks_for_the_full_state_once(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                equal(p.introduce().flags, 0)
                p.seq += 5
                replies = [p.ask()]
                replies += [p.ask() for _ in range(3)]
                asked = [r for r in replies if r.flags & REPORT_FULL_STATE]
                equal(len(asked), 1, f"ReportFullState in {replies}")
                equal(p.introduce().flags, 0)
                equal(p.ask().flags, 0)

    def wait_for_the_flag(self, peer):
        """It comes with the reply, or, when the bucket of 500 a second has no token left, in a message of its own."""
        reply = peer.ask()
        while not reply.flags & REPORT_FULL_STATE:
            reply = peer.read()

    def test_an_unknown_agent_that_reports_little_is_asked_for_its_full_state(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer(seq=41) as p:
                self.wait_for_the_flag(p)
            with s.peer(p.uid, seq=p.seq) as p:
                self.wait_for_the_flag(p)
                equal(p.introduce(labels={"a": "b"}).flags, 0)
                equal(s.agent(p.name)["labels"], {"a": "b"})

    def test_no_configuration_is_offered_before_the_status_is_known(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            pushed = s.push(b"x\n")
            wanted = bytes.fromhex(pushed["hash"])
            with s.peer(seq=7) as p:
                reply = p.ask()
                equal(reply.config, None)
                offered = p.introduce()
                while offered.config is None:
                    offered = p.read()
                equal(offered.config, (wanted, {"app.conf": (TEXT, b"x\n")}))
                p.ask(config_status(wanted, APPLYING))
                equal(s.agent(p.name)["config"]["status"], "APPLYING")
                p.ask(config_status(wanted, APPLIED))
                equal(s.agent(p.name)["config"]["status"], "APPLIED")

    def test_who_never_tells_a_status_is_offered_its_configuration_after_a_while(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            s.push(b"x\n")
            with s.peer(seq=7) as p:
                reply = p.ask()
                end = time.monotonic() + 20
                while reply.config is None and time.monotonic() < end:
                    reply = p.read()
                assert reply.config, "nothing was offered"

    def test_after_a_failure_the_same_content_is_offered_again_only_by_a_new_assignment(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                p.introduce()
                wanted = bytes.fromhex(s.push(b"x\n")["hash"])
                equal(p.read().config[0], wanted)
                p.ask(config_status(wanted, FAILED, "no"))
                equal(s.agent(p.name)["config"]["error"], "no")
                for _ in range(3):
                    equal(p.ask().config, None)
                s.push(b"x\n")
                equal(p.read().config[0], wanted)

    def test_applying_without_news_reads_failed_after_apply_timeout(self):
        with Fleet(self.dir) as f:
            s = f.start_server("agents: {heartbeat: 1s, apply_timeout: 500ms}")
            with s.peer() as p:
                p.introduce()
                wanted = bytes.fromhex(s.push(b"x\n")["hash"])
                p.read()
                p.ask(config_status(wanted, APPLYING))
                until("it reads FAILED", lambda: s.agent(p.name)["config"]["status"] == "FAILED")
                assert s.agent(p.name)["config"]["error"], s.agent(p.name)

    def test_the_heartbeat_is_offered_once_with_a_hash_and_whole_seconds_and_nothing_else(self):
        with Fleet(self.dir) as f:
            s = f.start_server(heartbeat="7s")
            with s.peer() as p:
                replies = [p.introduce()] + [p.ask() for _ in range(3)]
                offers = [r.settings for r in replies if r.settings]
                equal(len(offers), 1)
                equal(set(offers[0]), {1, 2})
                assert offers[0][1][0]
                equal(opamp.decode(offers[0][2][0]), {4: [7]})
                p.ask(opamp.settings_status(offers[0][1][0], APPLIED))
            with s.peer(p.uid, seq=p.seq) as again:
                replies = [again.introduce(opamp.settings_status(offers[0][1][0], APPLIED))] + [again.ask() for _ in range(3)]
                equal([r.settings for r in replies if r.settings], [], "once per agent and hash")
            with s.peer(capabilities=CAPABILITIES & ~opamp.ACCEPTS_SETTINGS) as p:
                equal([r.settings for r in [p.introduce(), p.ask()] if r.settings], [])

    def test_a_goodbye_reads_offline_at_once_and_a_loss_stale(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            leaving, lost = s.peer(), s.peer()
            leaving.introduce()
            lost.introduce()
            equal(s.agent(leaving.name)["status"], "online")
            equal(leaving.ask(opamp.GOODBYE).error, None)
            equal(s.agent(leaving.name)["status"], "offline")
            leaving.hung_up()
            lost.close()
            until("the lost one is stale", lambda: s.agent(lost.name)["status"] in ("stale", "offline"))
            with s.peer(leaving.uid, leaving.seq) as back:
                back.introduce()
                equal(s.agent(back.name)["status"], "online")
            leaving.close()

    def test_a_second_identity_on_a_connection_is_a_bad_request(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                p.introduce()
                p.uid = opamp.new_uid()
                p.send()
                p.refused(BAD_REQUEST)

    def test_a_newcomer_takes_the_session_over_and_the_old_connection_is_closed(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            old = s.peer()
            old.introduce()
            with s.peer(old.uid, seq=old.seq) as new:
                equal(new.introduce().new_uid, None)
                equal(old.hung_up(), [])
                equal(s.agent(new.name)["status"], "online")
                equal(new.ask().error, None)
            old.close()

    def test_the_third_take_over_within_a_minute_gets_an_identity_of_its_own(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            wires = [s.peer()]
            wires[0].introduce()
            for _ in range(2):
                wires.append(s.peer(wires[0].uid, seq=wires[-1].seq))
                equal(wires[-1].introduce().new_uid, None)
            clone = s.peer(wires[0].uid)
            given = clone.introduce().new_uid
            assert given and len(given) == 16 and given != clone.uid, given
            clone.uid = given
            equal(clone.introduce().error, None)
            equal(wires[-1].ask().error, None, "the one before it")
            equal(sorted(x["instance_uid"] for x in s.agents(status="online")), sorted([wires[0].name, clone.name]))
            for w in [*wires, clone]:
                w.close()

    def test_whoever_asks_for_an_identity_gets_one(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                given = p.ask(opamp.description(), field(10, 1)).new_uid
                assert given and given != p.uid
                p.uid = given
                equal(p.introduce().new_uid, None)
                equal([x["instance_uid"] for x in s.agents()], [p.name])

    def test_metrics_are_acknowledged_once_they_are_stored_and_a_resend_is_a_duplicate(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            boot, now = os.urandom(16), int(time.time() * 1000)
            samples = [(n, now + n) for n in range(1, 6)]

            def acknowledged(p, seq):
                def look():
                    reply = p.ask()
                    return reply.ack and reply.ack[1] >= seq and reply.ack
                equal(until(f"ack of {seq}", look), (boot, seq))
            with s.peer() as p:
                p.introduce(opamp.process_metrics(boot, samples[:3]))
                acknowledged(p, 3)
                p.ask(opamp.process_metrics(boot, samples))
                acknowledged(p, 5)
            equal(sorted(r[0] for r in s.rows("seq")), [1, 2, 3, 4, 5])
            ledger = next(iter(s.exporters().values()))["ledger"]
            equal((ledger["offered"], ledger["delivered"], ledger["duplicate"]), (8, 5, 3))

    def test_silence_reads_stale_then_offline_and_the_connection_is_closed(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                offer = p.introduce()
                while not offer.settings:
                    offer = p.ask()
                p.ask(opamp.settings_status(offer.settings[1][0], APPLIED))
                until("stale", lambda: s.agent(p.name)["status"] == "stale")
                until("offline", lambda: s.agent(p.name)["status"] == "offline")
                p.hung_up()

    def test_a_stop_tells_every_agent_to_come_back_later(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            peers = [s.peer() for _ in range(20)]
            for p in peers:
                p.introduce()
            equal(s.stop(), 0)
            for p in peers:
                replies = p.hung_up()
                equal(len(replies), 1)
                kind, text, retry = replies[0].error
                equal(kind, UNAVAILABLE)
                assert text and retry and 10**8 <= retry <= 60 * 10**9, replies
                equal(set(replies[0].fields) - {1, 2}, set())
                p.close()


if __name__ == "__main__":
    tap.main(Malformed, Sessions)
