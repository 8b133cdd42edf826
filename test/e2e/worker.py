"""What the agents of the tests supervise: worker.py CONF SEEN

Takes up CONF at its start and at each HUP, and adds `load HASH` to SEEN each time; a CONF with the word `broken` ends it with 2 and a
word on stderr. Prints a line every 20 ms, which is what it "sends"; a reader that went away does not end it, so that only its agent can.
"""
import hashlib
import os
import signal
import sys
import time

conf, seen = sys.argv[1:3]


def load(*_):
    try:
        with open(conf, "rb") as f:
            body = f.read()
    except FileNotFoundError:
        body = b""
    fd = os.open(seen, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, b"load " + hashlib.sha256(body).hexdigest().encode() + b"\n")
    os.close(fd)
    if b"broken" in body:
        print("this configuration is broken", file=sys.stderr, flush=True)
        os._exit(2)


signal.signal(signal.SIGHUP, load)
load()
n = 0
while True:
    n += 1
    try:
        os.write(1, b"line %d\n" % n)
    except BrokenPipeError:
        pass
    time.sleep(0.02)
