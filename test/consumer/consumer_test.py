#!/usr/bin/python3
"""runnel installed: its headers alone, its libraries by pkg-config, and what the shared one lets out.

    consumer_test.py BUILD
"""

import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tools"))
import tap  # noqa: E402

CC = shlex.split(os.environ.get("CONSUMER_CC", "cc"))
CXX = shlex.split(os.environ.get("CONSUMER_CXX", "g++"))
FLAGS = shlex.split(os.environ.get("CONSUMER_FLAGS", ""))
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"]
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def run(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **options)
    assert done.returncode == 0, f"{' '.join(command)}: {done.returncode}\n{done.stdout}"
    return done.stdout


class Consumer(tap.Tests):
    build = ""
    tree = ""  # what was installed, once for all tests

    @classmethod
    def install(cls):
        run("meson", "install", "-C", cls.build, "--no-rebuild", "--destdir", cls.tree)
        (pc,) = glob.glob(os.path.join(cls.tree, "**/runnel.pc"), recursive=True)
        cls.pc, cls.lib = os.path.dirname(pc), os.path.dirname(os.path.dirname(pc))
        (cls.headers,) = glob.glob(os.path.join(cls.tree, "**/include/runnel"), recursive=True)

    def each_header(self, command, suffix):
        names = sorted(os.listdir(self.headers))
        assert "chan.h" in names and "mutex.h" in names, names
        source = os.path.join(self.dir, "alone." + suffix)
        for name in names:
            with open(source, "w", encoding="utf-8") as f:
                f.write(f"#include <runnel/{name}>\n#include <runnel/{name}>\nextern int not_empty;\n")
            run(*command, *STRICT, "-I", os.path.dirname(self.headers), source)

    def test_every_header_compiles_alone_in_c17(self):
        self.each_header([*CC, "-std=c17"], "c")

    def test_every_header_compiles_alone_in_cpp17(self):
        self.each_header([*CXX, "-std=c++17"], "cc")

    def test_a_project_builds_and_runs_on_the_shared_and_the_static_library_in_c_and_in_cpp(self):
        for name in ("Makefile", "main.c", "main.cc"):
            shutil.copy(os.path.join(HERE, name), self.dir)
        env = {**os.environ, "PKG_CONFIG_PATH": self.pc, "PKG_CONFIG_SYSROOT_DIR": self.tree}
        run("make", "-C", self.dir, "CC=" + " ".join(CC), "CXX=" + " ".join(CXX), "CFLAGS=" + " ".join(FLAGS), env=env)
        for program in ("c-shared", "c-static", "cpp-shared", "cpp-static"):
            env["LD_LIBRARY_PATH"] = self.lib if program.endswith("shared") else "/nonexistent"
            out = run(os.path.join(self.dir, program), env=env)
            assert out == "1\n4\n9\n16\n", (program, out)
            linked = "librunnel" in run("ldd", os.path.join(self.dir, program), env=env)
            assert linked == program.endswith("shared"), program

    def test_the_shared_library_lets_out_what_the_headers_declare_and_nothing_else(self):
        out = run("nm", "-D", "--defined-only", os.path.join(self.lib, "librunnel.so"))
        there = {line.split()[2].split("@")[0] for line in out.splitlines() if line.split()[1] != "A"}
        declared = set()
        for name in os.listdir(self.headers):
            with open(os.path.join(self.headers, name), encoding="utf-8") as f:
                text = COMMENT.sub("", f.read())
            declared |= set(re.findall(r"^RN_API\b[^;(]*?(\w+)\s*\(", text, re.MULTILINE))
        assert len(declared) > 100, declared
        assert there == declared, f"more: {there - declared}, less: {declared - there}"


if __name__ == "__main__":
    Consumer.build = sys.argv[1]
    with tempfile.TemporaryDirectory() as Consumer.tree:
        Consumer.install()
        tap.main(Consumer)
