"""Stores values of many sizes in redis over one connection, in RESP spoken by hand, and compares
what comes back byte by byte.

usage: redis_values.py PORT COUNT [--check-only] [--bgsave-every N]
"""

import random
import socket
import sys


def value_of(index):
    numbers = random.Random(index)
    size = numbers.choice((0, 1, 7, 64, 1000, 4096, 65_536, 200_000))
    return numbers.randbytes(size)


class Redis:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.buffer = b""

    def ask(self, *words):
        parts = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
        self.socket.sendall(b"".join(parts))
        return self.answer()

    def answer(self):
        line = self.line()
        if line[:1] == b"$":
            length = int(line[1:])
            return None if length < 0 else self.take(length + 2)[:-2]
        if line[:1] == b"-" and b"already in progress" not in line:
            sys.exit(f"redis says {line!r}")
        return line[1:]

    def line(self):
        while b"\r\n" not in self.buffer:
            self.receive()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def take(self, count):
        while len(self.buffer) < count:
            self.receive()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def receive(self):
        data = self.socket.recv(65_536)
        if not data:
            sys.exit("redis closed the connection")
        self.buffer += data


def main():
    port, count, *options = sys.argv[1:]
    count = int(count)
    bgsave_every = int(options[1]) if "--bgsave-every" in options else 0
    redis = Redis(int(port))
    for i in range(count):
        if "--check-only" not in options:
            redis.ask("SET", f"key:{i}", value_of(i))
        got = redis.ask("GET", f"key:{i}")
        if got != value_of(i):
            sys.exit(f"value {i} differs: {got and len(got)} bytes of {len(value_of(i))}")
        if bgsave_every and i % bgsave_every == bgsave_every - 1:
            redis.ask("BGSAVE", "SCHEDULE")
    print(f"{count} values right")


main()
