"""Stores values of many sizes in memcached from several threads, one connection each, in its text
protocol, and compares what comes back byte by byte.

usage: memcached_values.py PORT THREADS VALUES
"""

import random
import socket
import sys
from concurrent.futures import ThreadPoolExecutor


def store_and_check(port, thread, count):
    numbers = random.Random(thread)
    with socket.create_connection(("127.0.0.1", port)) as sock, sock.makefile("rb") as answers:
        for i in range(count):
            key = b"key:%d:%d" % (thread, i)
            value = numbers.randbytes(numbers.choice((1, 30, 1000, 8192, 100_000, 900_000)))
            sock.sendall(b"set %s 0 0 %d\r\n" % (key, len(value)) + value + b"\r\n")
            expect(answers.readline(), b"STORED\r\n")
            sock.sendall(b"get %s\r\n" % key)
            expect(answers.readline(), b"VALUE %s 0 %d\r\n" % (key, len(value)))
            expect(answers.read(len(value)), value)
            expect(answers.readline(), b"\r\n")
            expect(answers.readline(), b"END\r\n")
    return count


def expect(got, wanted):
    if got != wanted:
        raise ValueError(f"got {got[:60]!r} ({len(got)} bytes) in place of "
                         f"{wanted[:60]!r} ({len(wanted)} bytes)")


def main():
    port, threads, count = map(int, sys.argv[1:])
    with ThreadPoolExecutor(threads) as pool:
        jobs = [pool.submit(store_and_check, port, thread, count) for thread in range(threads)]
        print(f"{sum(job.result() for job in jobs)} values right")


main()
