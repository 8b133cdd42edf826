"""A disk that is full or read-only: a clear error, reading goes on, nothing that was acknowledged is lost, and writing works again
soon after the cause is gone. The small disk is a tmpfs in a mount namespace of this process; where that is not permitted the tests
that need it are skipped."""

import ctypes
import errno
import os

from fleet import TEXT, Fleet, problem, tap
from programs import contains, equal, run, until

CLONE_NEWNS, MS_RDONLY, MS_REMOUNT, MS_REC, MS_PRIVATE = 0x20000, 0x1, 0x20, 0x4000, 0x40000
LIBC = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result < 0:
        e = ctypes.get_errno()
        if e in (errno.EPERM, errno.EACCES):
            raise tap.Skip("mounting is not permitted here")
        raise OSError(e, os.strerror(e))


class Disk:
    """A tmpfs of `size` at `path`."""

    namespace = False

    def __init__(self, path, size):
        self.path, self.size, self.filler = path, size, os.path.join(path, "filler")
        os.makedirs(path, exist_ok=True)

    def __enter__(self):
        if not Disk.namespace:
            check(LIBC.unshare(CLONE_NEWNS))
            check(LIBC.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))
            Disk.namespace = True
        check(LIBC.mount(b"tmpfs", self.path.encode(), b"tmpfs", ctypes.c_ulong(0), f"size={self.size},mode=755".encode()))
        return self

    def __exit__(self, *_):
        check(LIBC.umount2(self.path.encode(), 2))

    def remount_read_only(self):
        check(LIBC.mount(None, self.path.encode(), None, ctypes.c_ulong(MS_REMOUNT | MS_RDONLY), None))

    def fill(self):
        """To the last byte."""
        fd = os.open(self.filler, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while os.write(fd, b"x" * size) == size:
                        pass
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise
        finally:
            os.close(fd)

    def free(self):
        os.unlink(self.filler)


class Pushes:
    """Ever new contents, and which of them were acknowledged."""

    def __init__(self, server, size=20000):
        self.server, self.size, self.n, self.acknowledged = server, size, 0, {}

    def one(self):
        """Push the next content; the answer."""
        self.n += 1
        body = f"n = {self.n}\n".encode() + b"y" * self.size + b"\n"
        a = self.server.push_call(body)
        if a.status == 202:
            self.acknowledged[a.json["version"]] = body
        return a

    def until_refused(self):
        for _ in range(1000):
            a = self.one()
            if a.status != 202:
                return a
        raise AssertionError("the full disk took 1000 configurations")

    def until_taken(self):
        return until("a configuration is taken again", lambda: (lambda a: a.status == 202 and a.json)(self.one()), step=0.2)

    def all_there(self):
        for version, body in self.acknowledged.items():
            shown = self.server.get(f"/api/v1/configurations/default/versions/{version}")
            equal(shown["objects"]["app.conf"]["body"], body.decode(), f"version {version}")
        group = self.server.get("/api/v1/agent-groups/default")
        equal(group["configuration"]["version"], max(self.acknowledged), "the group's version")


class Full(tap.Tests):
    def test_a_full_disk_refuses_writes_with_503_loses_nothing_and_heals_by_itself(self):
        with Disk(os.path.join(self.dir, "disk"), "6m") as disk, Fleet(self.dir) as f:
            s = f.start_server(data=os.path.join(disk.path, "data"))
            a = f.start_agent().online()
            pushes = Pushes(s)
            a.applied(pushes.one().json["hash"])
            for _ in range(3):
                disk.fill()
                problem(pushes.until_refused(), 503, "full")
                problem(s.http("POST", "/api/v1/configurations", {"name": "x"}), 503)
                problem(s.http("PUT", "/api/v1/agent-groups/g", {"selector": "", "priority": 1}), 503)
                pushes.all_there()
                equal(a.show()["status"], "online")
                equal(s.http("GET", "/api/v1/agent-groups/g").status, 404)
                disk.free()
                a.applied(pushes.until_taken()["hash"])
            disk.fill()
            pushes.until_refused()
            s.kill()
            disk.free()
            s = pushes.server = f.restart_server()
            pushes.all_there()
            a.online()
            pushes.until_taken()
            equal(s.http("POST", "/api/v1/configurations", {"name": "x"}).status, 201)

    def test_samples_wait_for_space_and_arrive_all(self):
        with Disk(os.path.join(self.dir, "disk"), "4m") as disk, Fleet(self.dir) as f:
            s = f.start_server(data=os.path.join(disk.path, "data"))
            a = f.start_agent().online()
            until("samples arrive", lambda: len(s.rows("seq")) >= 2)

            def lane():
                return next(iter(s.exporters().values()))
            disk.fill()
            troubled = until("the lane tells of its trouble", lambda: (lambda x: x["last_error"] and x["state"] != "ok" and x)(lane()))
            contains(troubled["last_error"].lower(), "full")
            equal(s.metrics().sum("fettle_exporter_up"), 0)
            stuck = len(s.rows("seq"))
            seq = s.get(f"/api/v1/agents/{a.uid}/metrics")["items"][0]["seq"]
            until("three more samples came", lambda: s.get(f"/api/v1/agents/{a.uid}/metrics")["items"][0]["seq"] >= seq + 3)
            s.healthy_books()
            disk.free()
            until("the lane is well", lambda: lane()["state"] == "ok")
            until("what had waited is stored", lambda: len(s.rows("seq")) >= stuck + 3)
            equal(s.metrics().sum("fettle_exporter_up"), 1)
            numbers = sorted(r[0] for r in s.rows("seq"))
            equal(numbers, list(range(1, len(numbers) + 1)), "sequence numbers without a gap")
            equal(sum(lane()["ledger"]["dropped"].values()), 0, "dropped")

    def test_an_agent_on_a_full_disk_reads_failed_keeps_its_file_whole_and_applies_the_next(self):
        with Disk(os.path.join(self.dir, "agent"), "1m") as disk, Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            old = b"old\n" * 1000
            a.applied(s.push(old)["hash"])
            disk.fill()
            s.push(b"new\n" * 20000)
            a.failed("o space")
            equal(a.body(), old)
            disk.free()
            new = s.push(b"newer\n" * 20000)
            a.applied(new["hash"])
            equal(a.body(), b"newer\n" * 20000)


class ReadOnly(tap.Tests):
    def test_a_read_only_data_folder_at_the_start_ends_with_1_and_its_path(self):
        with Disk(os.path.join(self.dir, "disk"), "1m") as disk, Fleet(self.dir) as f:
            data = os.path.join(disk.path, "data")
            for made_before in (False, True):
                if made_before:
                    os.mkdir(data)
                    disk.remount_read_only()
                else:
                    data, real = "/proc/fettle-data", data
                r = run([f"{f.build}/fettled", "--data", data, *f.free_ports(())], cwd=self.dir)
                equal(r.returncode, 1, r.stderr)
                contains(r.stderr, "fettled: ", data)
                equal(r.stdout, "")
                data = real

    def test_a_data_folder_that_holds_something_else_ends_with_1_and_its_path(self):
        with Fleet(self.dir) as f:
            file, folder = os.path.join(self.dir, "a-file"), os.path.join(self.dir, "folder")
            with open(file, "w") as out:
                out.write("x")
            os.mkdir(folder)
            with open(os.path.join(folder, "fettle.db"), "w") as out:
                out.write("this is no database, and long enough to look like one\n" * 100)
            for data in (file, folder):
                r = run([f"{f.build}/fettled", "--data", data, *f.free_ports(())], cwd=self.dir)
                equal(r.returncode, 1, r.stderr)
                contains(r.stderr, "fettled: ", data)

    def test_a_store_that_becomes_read_only_or_fails_refuses_writes_with_503_and_heals(self):
        with Fleet(self.dir) as f:
            fault = os.path.join(self.dir, "fault")
            s = f.start_server(env={"FETTLE_FAULT_STORE": fault})
            a = f.start_agent().online()
            pushes = Pushes(s, 100)
            a.applied(pushes.one().json["hash"])
            for word in ("readonly", "ioerr", "full"):
                with open(fault, "w") as out:
                    out.write(word)
                if pushes.one().status == 202:
                    raise tap.Skip("this build has no fault points")
                for _ in range(3):
                    problem(pushes.one(), 503)
                problem(s.http("DELETE", "/api/v1/agent-groups/absent"), 404)
                pushes.all_there()
                equal(a.show()["status"], "online")
                os.unlink(fault)
                a.applied(pushes.until_taken()["hash"])
            pushes.all_there()
            s.kill()
            pushes.server = f.restart_server()
            pushes.all_there()
            equal(pushes.server.get("/api/v1/configurations/default/versions/1")["objects"]["app.conf"]["content_type"], TEXT)


if __name__ == "__main__":
    tap.main(Full, ReadOnly)
