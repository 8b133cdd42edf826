#!/usr/bin/python3
"""GET one path many times over keep-alive connections, in waves: one request on each connection, then all answers.

    waves.py ADDR PATH COUNT CONNECTIONS [TOKEN]

Every answer must be 200 with a body as long as it says. Prints how many there were."""

import socket
import sys


def head_of(address, path, token=None):
    lines = [f"GET {path} HTTP/1.1", f"Host: {address}"]
    if token:
        lines.append("Authorization: Bearer " + token)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def read_answer(s):
    """The body of one answer. A connection has one answer under way, so nothing of a next one can come with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = s.recv(65536)
        if not part:
            raise EOFError(f"the server closed after {data!r}")
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    if lines[0].split()[1] != "200":
        raise ValueError(lines[0])
    length = next(int(l.split(":", 1)[1]) for l in lines if l.lower().startswith("content-length:"))
    while len(body) < length:
        part = s.recv(65536)
        if not part:
            raise EOFError("the server closed inside a body")
        body += part
    if len(body) != length:
        raise ValueError(f"{len(body)} bytes of {length}")
    return body


class Client:
    def __init__(self, address, path, connections, token=None):
        host, port = address.rsplit(":", 1)
        self.request = head_of(address, path, token)
        self.sockets = [socket.create_connection((host, int(port)), 30) for _ in range(connections)]
        for s in self.sockets:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, count):
        done = 0
        while done < count:
            wave = self.sockets[:count - done]
            for s in wave:
                s.sendall(self.request)
            for s in wave:
                read_answer(s)
            done += len(wave)
        return done

    def close(self):
        for s in self.sockets:
            s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main():
    if len(sys.argv) not in (5, 6):
        print(__doc__, file=sys.stderr)
        return 2
    address, path, count, connections = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with Client(address, path, connections, sys.argv[5] if len(sys.argv) > 5 else None) as c:
        print(f"{c.get(count)} answers over {connections} connections")
    return 0


if __name__ == "__main__":
    sys.exit(main())
