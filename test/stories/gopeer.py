"""Programs in Go that ours are measured beside. Built once into the build folder; missing Go is a counted skip."""

import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def go():
    return shutil.which("go") or ("/usr/local/go/bin/go" if os.path.exists("/usr/local/go/bin/go") else None)


def build(source, build_folder, seconds=600):
    """The path of the program, or None and why."""
    tool = go()
    if not tool:
        return None, "no go toolchain"
    out = os.path.join(build_folder, "peers", os.path.basename(source))
    os.makedirs(os.path.dirname(out), exist_ok=True)
    env = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    if "HOME" not in env and "GOCACHE" not in env:
        env["GOCACHE"] = os.path.join(build_folder, "peers", ".cache")
    done = subprocess.run([tool, "build", "-o", out, "."], cwd=source, env=env, capture_output=True, text=True, timeout=seconds,
                          check=False)
    if done.returncode != 0:
        return None, "go build: " + done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else "go build failed"
    return out, None


if __name__ == "__main__":
    print(build(sys.argv[1], sys.argv[2]))
