"""The lines of a benchmark are what others read: each form once."""

import contextlib
import io
import json
import os

from rows import Rows

import tap


class Lines(tap.Tests):
    def printed(self, fill):
        rows = Rows("some", self.dir)
        fill(rows)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            met = rows.finish()
        with open(os.path.join(self.dir, "bench/some.jsonl")) as f:
            return met, out.getvalue(), [json.loads(line) for line in f]

    def test_a_row_with_a_peer_is_judged_by_its_ratio_of_medians(self):
        met, out, lines = self.printed(lambda r: r.add("work", "us", [3, 1, 2], ("<=", 0.5), [4, 5, 3], "go"))
        assert met and out == "work: ours 2 us, go 4 us, ratio 0.50, goal <=0.5: met\n", out
        assert lines == [{"row": "work", "unit": "us", "ours": 2, "peer": 4, "peer_name": "go", "ratio": 0.5, "goal": "<=0.5",
                          "met": True}], lines

    def test_a_row_without_a_peer_is_judged_by_its_value(self):
        met, out, lines = self.printed(lambda r: r.add("speed", "per second", [99000], (">=", 100000)))
        assert not met and out == "speed: ours 99000 per second, goal >=100000 per second: missed\n", out
        assert lines[0]["peer"] is None and not lines[0]["met"], lines

    def test_a_note_stands_at_the_end_of_its_row(self):
        met, out, lines = self.printed(lambda r: r.add("work", "us", [2], ("<=", 3), note="cold 9 us"))
        assert met and out == "work: ours 2 us, goal <=3 us: met; cold 9 us\n", out
        assert lines[0]["note"] == "cold 9 us", lines

    def test_a_missing_peer_is_said_and_misses_nothing(self):
        met, out, _ = self.printed(lambda r: r.skip("work", "no go toolchain"))
        assert met and out == "work: skipped: no go toolchain\n", out


if __name__ == "__main__":
    tap.main(Lines)
