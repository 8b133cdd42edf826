"""The harness for scripts: each `test_...` method of a class is a test; speaks TAP.

    class Includes(tap.Tests):
        def test_an_upward_include_is_found(self): ...

    tap.main(Includes)
"""

import sys
import tempfile
import traceback


class Skip(Exception):
    """Raise with a reason to end a test as skipped."""


class Tests:
    """A fresh instance per test, with a fresh folder in `self.dir`, removed after it."""

    dir = ""


def main(*classes):
    tests = [(c, n) for c in classes for n in dir(c) if n.startswith("test_")]
    failed = 0
    if not tests:
        print("Bail out! no test was executed")
        return sys.exit(1)
    print(f"1..{len(tests)}")
    for i, (cls, name) in enumerate(tests, 1):
        sentence = name[len("test_"):].replace("_", " ")
        why = note = None
        with tempfile.TemporaryDirectory() as folder:
            one = cls()
            one.dir = folder
            try:
                getattr(one, name)()
            except Skip as e:
                note = f" # SKIP {e}"
            except Exception:  # whatever it is, it is this test's failure
                why = traceback.format_exc()
        failed += bool(why)
        print(f"{'not ok' if why else 'ok'} {i} - {sentence}{note or ''}")
        for line in (why or "").splitlines():
            print("# " + line)
        sys.stdout.flush()
    return sys.exit(1 if failed else 0)
