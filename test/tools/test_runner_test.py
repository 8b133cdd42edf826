#!/usr/bin/python3
"""tools/test judges what tests do, and its last line is always the totals. A stand-in for meson says which tests there are."""

import json
import os
import stat
import subprocess
import sys
import time

import tap

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/test")


class Runner(tap.Tests):
    def run_tests(self, *scripts, args=(), **common):
        """Run tools/test over shell scripts, given as text or as a dict with `script`. (exit code, output, last line)"""
        tests = []
        for i, s in enumerate(scripts):
            s = s if isinstance(s, dict) else {"script": s}
            tests.append({"name": f"t{i}", "suite": ["fettle"], "env": {}, "workdir": None, "timeout": 60, "is_parallel": True,
                          "priority": 0, "protocol": "tap", **common, **s, "cmd": ["/bin/sh", "-c", s["script"]]})
        self.write("tests", json.dumps(tests))
        self.write("options", json.dumps([{"name": "b_sanitize", "value": "none"}]))
        self.write("meson", f'#!/bin/sh\ncase $3 in --tests) cat {self.dir}/tests;; *) cat {self.dir}/options;; esac\n')
        os.chmod(os.path.join(self.dir, "meson"), stat.S_IRWXU)
        return self.run_tool(self.dir, *args)

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8") as f:
            f.write(text)

    def run_tool(self, build, *args):
        env = {**os.environ, "PATH": self.dir + ":" + os.environ["PATH"], "TEST_TIMEOUT_FACTOR": "1"}
        done = subprocess.run([sys.executable, TOOL, build, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                              text=True, check=False)
        return done.returncode, done.stdout, done.stdout.splitlines()[-1]

    def expect(self, result, code, totals, *texts):
        assert result[0] == code, result
        assert result[2] == totals, result
        for t in texts:
            assert t in result[1], (t, result[1])

    def test_good_tests_are_counted(self):
        self.expect(self.run_tests("echo 1..2; echo ok 1 - a; echo 'ok 2 - b # SKIP no root'"), 0,
                    "1 passed, 0 failed, 1 skipped")

    def test_a_failing_test_shows_its_diagnostics(self):
        r = self.run_tests("echo 1..2; echo 'not ok 1 - bad one'; echo '# x.c:3: why'; echo ok 2; echo '# quiet'; exit 1")
        self.expect(r, 1, "1 passed, 1 failed, 0 skipped", "not ok - t0: bad one", "# x.c:3: why")
        assert "quiet" not in r[1], r

    def test_a_crash_is_a_failure(self):
        self.expect(self.run_tests("echo 1..1; echo ok 1; kill -SEGV $$"), 1, "1 passed, 1 failed, 0 skipped", "SIGSEGV")

    def test_an_exit_code_is_a_failure(self):
        self.expect(self.run_tests("echo 1..1; echo ok 1; echo why >&2; exit 3"), 1, "1 passed, 1 failed, 0 skipped",
                    "exited with 3", "# why")

    def test_missing_tests_are_a_failure(self):
        self.expect(self.run_tests("echo 1..3; echo ok 1"), 1, "1 passed, 1 failed, 0 skipped", "planned 3 tests and reported 1")
        self.expect(self.run_tests("echo hello"), 1, "0 passed, 1 failed, 0 skipped", "printed no TAP plan")
        self.expect(self.run_tests("echo 'Bail out! no disk'"), 1, "0 passed, 1 failed, 0 skipped", "no disk")

    def test_a_hanging_test_is_killed_with_its_children(self):
        start = time.monotonic()
        r = self.run_tests({"script": "echo 1..1; echo ok 1; sleep 1000 & sleep 1000", "timeout": 1})
        self.expect(r, 1, "1 passed, 1 failed, 0 skipped", "killed after 1 s")
        assert time.monotonic() - start < 500

    def test_executing_nothing_fails(self):
        self.expect(self.run_tests(), 1, "0 passed, 0 failed, 0 skipped", "no test was executed")
        self.expect(self.run_tests("echo '1..0 # SKIP not here'"), 1, "0 passed, 0 failed, 1 skipped")

    def test_a_folder_that_is_not_built_fails(self):
        self.write("meson", "#!/bin/sh\necho no such folder; exit 1\n")
        os.chmod(os.path.join(self.dir, "meson"), stat.S_IRWXU)
        self.expect(self.run_tool("/nowhere"), 1, "0 passed, 1 failed, 0 skipped", "no such folder", "is it built?")

    def test_exit_codes_speak_where_the_protocol_says_so(self):
        self.expect(self.run_tests("exit 0", "exit 77", "echo why; exit 1", protocol="exitcode"), 1,
                    "1 passed, 1 failed, 1 skipped", "# why")

    def test_tests_can_be_selected(self):
        self.expect(self.run_tests("echo 1..1; echo ok 1", "exit 1", args=("t0",)), 0, "1 passed, 0 failed, 0 skipped")

    def test_the_environment_of_a_test_is_its_own(self):
        self.expect(self.run_tests({"script": "echo 1..1; [ $COLOUR = red ] && echo ok 1", "env": {"COLOUR": "red"}}), 0,
                    "1 passed, 0 failed, 0 skipped")

    def test_tests_that_want_to_be_alone_are(self):
        mark = os.path.join(self.dir, "busy")
        alone = f"mkdir {mark} || exit 1; sleep 0.2; rmdir {mark}; echo 1..1; echo ok 1"
        self.expect(self.run_tests(alone, alone, alone, is_parallel=False), 0, "3 passed, 0 failed, 0 skipped")


tap.main(Runner)
