#!/usr/bin/python3
"""The demo of lib/runnel/README.md: the text is the programs', and they say what stands there.

    demo_test.py PROGRAM     the C program, built; the Go one is built here where there is a Go that has the profile
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
GO = shutil.which("go") or "/usr/local/go/bin/go"


def blocks(language):
    """The code blocks of the README in this language."""
    with open(os.path.join(HERE, "../README.md"), encoding="utf-8") as f:
        return re.findall(rf"^```{language}\n(.*?)^```$", f.read(), re.MULTILINE | re.DOTALL)


def run(*argv, **more):
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=100, check=False, **more)


def shown(source, language):
    """Every block of the README is a piece of the source."""
    with open(os.path.join(HERE, source), encoding="utf-8") as f:
        text = f.read()
    return len(blocks(language)) == 1 and all(b in text for b in blocks(language))


def go_output():
    """What the Go program prints, or None."""
    if not os.path.exists(GO):
        return None
    with tempfile.TemporaryDirectory(prefix="runnel-demo-") as folder:
        path = os.path.join(folder, "demo")
        env = dict(os.environ, GOEXPERIMENT="goroutineleakprofile", GOTOOLCHAIN="local")
        if run(GO, "build", "-o", path, os.path.join(HERE, "work_items.go"), env=env).returncode:
            return None
        return run(path).stdout


def main():
    said = blocks("text")
    c = run(sys.argv[1])
    go = go_output()
    results = [
        ("the README shows pieces of both programs", shown("work_items.c", "c") and shown("work_items.go", "go"), None),
        ("the C program says what the README says", c.returncode == 0 and c.stdout == said[1], c.stdout),
        ("the Go program says what the README says", go == said[0], go),
    ]
    print(f"1..{len(results)}")
    for i, (name, ok, text) in enumerate(results, 1):
        skip = " # SKIP no Go with GOEXPERIMENT=goroutineleakprofile" if text is None and i == 3 else ""
        print(f"{'ok' if ok or skip else 'not ok'} {i} - {name}{skip}")
        if not ok and text:
            print("".join(f"# {line}\n" for line in text.splitlines()), end="")
    return 0 if all(ok or (i == 2 and go is None) for i, (_, ok, _) in enumerate(results)) else 1


if __name__ == "__main__":
    sys.exit(main())
