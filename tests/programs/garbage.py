"""Sends the monitor what no library would: packets of wrong magic, size, type, order, with
descriptors that are not what they should be, and connections that do nothing.

usage: garbage.py CONTROL_SOCKET
"""

import array
import os
import random
import socket
import struct
import sys

MAGIC = 0x316D4453
HEADER = struct.Struct("<IHHII")
numbers = random.Random(1)
sent = dropped = 0


def packets():
    yield b""
    yield b"x"
    yield numbers.randbytes(255)
    yield numbers.randbytes(60_000)
    for kind in (0, 1, 2, 3, 4, 5, 6, 100, 101, 106, 201, 65_535):
        for size in (16, 24, 40, 48, 200):
            yield HEADER.pack(MAGIC, kind, size, 0, 0) + numbers.randbytes(size - 16)
            yield HEADER.pack(MAGIC, kind, size + 8, 0, 0) + numbers.randbytes(size - 16)
            yield HEADER.pack(MAGIC, kind, 0, 0, 0)
    # A HELLO of the right shape, many times.
    hello = HEADER.pack(MAGIC, 1, 48, 1, 0) + struct.pack("<IIQQII", 1, os.getpid(), 0, 2**63, 0, 0)
    for _ in range(5):
        yield hello


def send(path, packet, descriptors):
    """True if the monitor has hung up on us."""
    global sent
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.connect(path)
        sock.settimeout(5)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        for _ in range(3):
            try:
                sock.sendmsg([packet], rights if descriptors else [])
                sent += 1
            except (BrokenPipeError, ConnectionResetError):
                return True
        sock.setblocking(False)
        try:
            return sock.recv(4096) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True


def main():
    global dropped
    path = sys.argv[1]
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDWR)
    memfd = os.memfd_create("garbage")
    os.ftruncate(memfd, 100)
    kept = []
    for packet in packets():
        for descriptors in ([], [read], [memfd], [null, write, memfd, read]):
            dropped += send(path, packet, descriptors)
        if len(kept) < 50:
            idle = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            idle.connect(path)
            kept.append(idle)
    print(f"{sent} packets sent, dropped {dropped} times")


main()
