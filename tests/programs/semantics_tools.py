"""What the checks of semantics_calls.py and semantics_life.py are written with."""

import array
import ctypes
import errno
import fcntl
import select
import socket
import struct
import termios
import time

BIG = 3_000_000

libc = ctypes.CDLL(None, use_errno=True)


class Peer:
    """The other process, to keep in step with."""

    def __init__(self, sock):
        self.socket = sock

    def tell(self):
        self.socket.sendall(b".")

    def wait(self):
        if self.socket.recv(1) != b".":
            raise AssertionError("the other side has given up")


def same(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def raises(numbers, call, *arguments):
    """The call must fail with one of these errno."""
    try:
        result = call(*arguments)
    except OSError as error:
        if error.errno in numbers:
            return
        raise
    wanted = [errno.errorcode[number] for number in numbers]
    raise AssertionError(f"{call.__name__} gave {result!r}, no {wanted}")


def bytes_of(count):
    return bytes(i * 7 % 251 for i in range(1004)) * (count // 1004 + 1)


def recv_all(sock, count):
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise AssertionError(f"end of stream after {len(data)} of {count} bytes")
        data += piece
    return data


def recv_to_end(sock):
    data = b""
    while piece := sock.recv(65_536):
        data += piece
    return data


def events_of(sock, timeout_ms, wanted=select.POLLIN | select.POLLPRI | select.POLLRDHUP):
    """What poll says about the socket; 0 if nothing."""
    poll = select.poll()
    poll.register(sock, wanted)
    ready = poll.poll(timeout_ms)
    return ready[0][1] if ready else 0


def until_events(sock, wanted):
    """Waits until poll says exactly this: the kernel may tell one thing after the other."""
    end = time.monotonic() + 5
    while (got := events_of(sock, 100)) != wanted:
        if time.monotonic() > end:
            raise AssertionError(f"poll says {got:#x}, not {wanted:#x}")


def until_queued(sock, count):
    end = time.monotonic() + 5
    while (got := queued(sock)) != count:
        if time.monotonic() > end:
            raise AssertionError(f"FIONREAD says {got}, not {count}")


def queued(sock):
    number = array.array("i", [0])
    fcntl.ioctl(sock, termios.FIONREAD, number)
    return number[0]


def set_timeout(sock, option, seconds):
    timeval = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, option, timeval)
