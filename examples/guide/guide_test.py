#!/usr/bin/python3
"""docs/runnel.md and examples/guide agree: what it quotes is what is compiled, and what is said to be printed is printed.

    guide_test.py BUILD ROOT

In the document a program is a line `examples/guide/NAME.c`:, a block of C, and a block of text with its output.
"""

import os
import re
import subprocess
import sys

BUILD, ROOT = sys.argv[1:3]
sys.path.insert(0, os.path.join(ROOT, "test/tools"))
import tap  # noqa: E402

QUOTE = re.compile(r"^`examples/guide/(\w+)\.c`:\n\n```c\n(.*?)^```\n\n(?:[^\n`]+\n\n)?```text\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


class Guide(tap.Tests):
    def setup(self):
        """{name: (program, output)} as quoted, and the names of the files."""
        quotes = QUOTE.findall(read("docs/runnel.md"))
        files = sorted(n[:-2] for n in os.listdir(os.path.join(ROOT, "examples/guide")) if n.endswith(".c"))
        return {name: (program, output) for name, program, output in quotes}, files, len(quotes)

    def test_each_of_the_ten_programs_is_quoted_once(self):
        quoted, files, n = self.setup()
        assert n == 10 and sorted(quoted) == files, (sorted(quoted), files)

    def test_what_is_quoted_is_what_is_compiled(self):
        for name, (program, _) in self.setup()[0].items():
            assert program == read(f"examples/guide/{name}.c"), f"docs/runnel.md and examples/guide/{name}.c differ"

    def test_what_is_said_to_be_printed_is_printed(self):
        quoted = self.setup()[0]
        assert quoted
        for name, (_, output) in quoted.items():
            program = os.path.join(BUILD, "examples/guide/guide-" + name)
            done = subprocess.run([program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
            assert done.returncode == 0, f"{name}: {done.returncode}\n{done.stdout}"
            assert done.stdout == output, f"{name} prints\n{done.stdout}"


if __name__ == "__main__":
    tap.main(Guide)
