#!/usr/bin/python3
"""tools/check-conformance finds rows without a test, and tests without a row."""

import os
import subprocess
import sys

import tap

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/check-conformance")
HEAD = "| Go's scenario | what must hold | test |\n|---|---|---|\n"
ROW = "| fifo.go | in order | `values_keep_their_order` |\n"
REST = "\n## Not covered yet\n\n| Go's scenario | what is missing |\n|---|---|\n| x.go | y |\n"


class Conformance(tap.Tests):
    def check(self, rows, own="SIM_TEST(values_keep_their_order, 5)\n{\n}\n", beside=""):
        """Write a list and tests, run the tool. (exit code, output)"""
        tree = {"docs/runnel-conformance.md": HEAD + rows + REST, "lib/runnel/conformance/chan_test.c": own,
                "lib/runnel/chan_test.c": beside}
        for path, text in tree.items():
            full = os.path.join(self.dir, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as f:
                f.write(text)
        done = subprocess.run([sys.executable, TOOL, self.dir], stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout

    def test_a_list_whose_rows_all_name_tests_passes(self):
        code, out = self.check(ROW)
        assert code == 0 and "each of 1 rows" in out, out

    def test_a_test_beside_the_code_counts(self):
        code, out = self.check(ROW + "| a.go | b | `it_lies_beside` |\n", beside="TASK_TEST_WITH(it_lies_beside, (.workers = 1))\n")
        assert code == 0, out

    def test_a_row_whose_test_does_not_exist_is_found(self):
        code, out = self.check(ROW + "| a.go | b | `there_is_no_such_test` |\n")
        assert code == 1 and "there is no test there_is_no_such_test" in out, out

    def test_a_name_in_a_comment_is_no_test(self):
        code, out = self.check(ROW + "| a.go | b | `only_told` |\n", beside="/* see TEST(only_told) */\n")
        assert code == 1 and "there is no test only_told" in out, out

    def test_a_row_without_a_test_is_found(self):
        for row in ("| a.go | b | |\n", "| a.go | b | see above |\n", "| a.go | b |\n"):
            code, out = self.check(ROW + row)
            assert code == 1 and "a.go: names no test" in out, out

    def test_a_test_without_a_row_is_found(self):
        code, out = self.check(ROW, own="SIM_TEST(values_keep_their_order, 5)\nTASK_TEST(nobody_lists_it)\n")
        assert code == 1 and "nobody_lists_it has no row" in out, out

    def test_an_empty_list_does_not_pass(self):
        assert self.check("", own="")[0] == 1


tap.main(Conformance)
