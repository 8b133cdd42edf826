#!/usr/bin/python3
"""tools/check-contracts finds what it has to find: seeded faults in a small header."""

import os
import subprocess
import sys

import tap

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/check-contracts")

GOOD = """/* Gates.
 *
 * Unless said otherwise:
 * Suspends: no.
 * Owner:    who opened it.
 */
#pragma once

#define RN_API __attribute__((visibility("default")))

struct rn_gate;
typedef void rn_gate_fn(void *arg);

/* Open one.
 * Returns: 0, -ENOMEM.
 * From:    a task. */
#define rn_gate_open(ret) rn_gate_open_at(RN_SITE(), ret)
RN_API int rn_gate_open_at(const struct rn_site *site,
                           struct rn_gate **ret_gate);

/* From: anywhere. */
RN_API void rn_gate_close(struct rn_gate *g);
RN_API void rn_gate_closep(struct rn_gate **g);

/* Returns: how many are open.
 * From: anywhere. */
static inline int rn_gates(const struct rn_gate *g)
{
    int n = 0;

    return g ? n : 0;
}
"""


class Contracts(tap.Tests):
    def check(self, text, name="gate.h"):
        """(exit code, output) for a tree with this one header."""
        folder = os.path.join(self.dir, "lib/runnel/include/runnel")
        os.makedirs(folder)
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
        done = subprocess.run([sys.executable, TOOL, self.dir], stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout

    def refuses(self, old, new, why):
        assert GOOD.count(old) >= 1
        code, out = self.check(GOOD.replace(old, new, 1))
        assert code == 1, out
        assert why in out, out

    def test_a_good_header_passes_and_all_four_functions_are_counted(self):
        code, out = self.check(GOOD)
        assert code == 0, out
        assert "gate.h: 4 declarations" in out, out

    def test_a_missing_word_is_found_with_its_line(self):
        self.refuses(" * From:    a task. */", " */", "gate.h:18: rn_gate_open_at does not say: From")

    def test_a_word_without_text_does_not_count(self):
        self.refuses("Returns: 0, -ENOMEM.", "Returns:", "rn_gate_open_at does not say: Returns")

    def test_the_defaults_hold_only_where_they_are_given(self):
        self.refuses(" * Unless said otherwise:\n", "", "rn_gates does not say: Suspends, Owner")

    def test_a_blank_line_parts_a_declaration_from_the_comment_above(self):
        self.refuses("RN_API void rn_gate_closep", "\nRN_API void rn_gate_closep", "rn_gate_closep does not say: From")

    def test_who_returns_something_says_what(self):
        self.refuses("RN_API void rn_gate_close(", "RN_API int rn_gate_close(", "rn_gate_close does not say: Returns")

    def test_an_inline_function_has_a_contract_too(self):
        self.refuses("/* Returns: how many are open.\n * From: anywhere. */\n", "", "rn_gates does not say: Returns, From")

    def test_a_prototype_that_is_not_marked_as_public_is_refused(self):
        self.refuses("RN_API void rn_gate_closep", "void rn_gate_closep", "rn_gate_closep is neither RN_API nor static inline")

    def test_headers_without_any_declaration_are_no_success(self):
        code, out = self.check("/* Nothing. */\n")
        assert code == 1, out
        assert "0 declarations were checked" in out, out


if __name__ == "__main__":
    tap.main(Contracts)
