"""Checks of semantics.py: calls that few programs make. CHECK_server runs against CHECK_client."""

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import struct
import threading
import time

from semantics_tools import bytes_of, libc, raises, recv_all, recv_to_end, same

RWF_DSYNC = 2


def preadv2_server(sock, peer):
    """Offset -1 is readv and writev; any other is ESPIPE."""
    data = bytes_of(3000)[:3000]
    same(os.pwritev(sock.fileno(), [data[:1000], data[1000:]], -1, RWF_DSYNC), 3000)
    raises((errno.ESPIPE,), os.pwritev, sock.fileno(), [b"x"], 0, RWF_DSYNC)
    raises((errno.ESPIPE,), os.preadv, sock.fileno(), [bytearray(1)], 0, RWF_DSYNC)
    same(recv_all(sock, 2), b"ok")


def preadv2_client(sock, peer):
    first, second = bytearray(1000), bytearray(2000)
    got = 0
    while got < 1000:
        got += os.preadv(sock.fileno(), [memoryview(first)[got:]], -1, RWF_DSYNC)
    same(bytes(first), bytes_of(1000)[:1000])
    got = 0
    while got < 2000:
        got += os.preadv(sock.fileno(), [memoryview(second)[got:]], -1, RWF_DSYNC)
    same(bytes(second), bytes_of(3000)[1000:3000])
    sock.sendall(b"ok")


def other_names_server(sock, peer):
    """libc's second names are the same functions."""
    same(libc.__write(sock.fileno(), b"abc", 3), 3)
    same(libc.__send(sock.fileno(), b"def", 3, 0), 3)
    same(recv_all(sock, 2), b"ok")
    same(libc.__close(libc.__dup2(sock.fileno(), 60)), 0)
    sock.sendall(b"open")


def other_names_client(sock, peer):
    buffer = ctypes.create_string_buffer(6)
    got = 0
    while got < 6:
        n = libc.__read(sock.fileno(), ctypes.byref(buffer, got), 6 - got)
        assert n > 0, n
        got += n
    same(buffer.raw, b"abcdef")
    sock.sendall(b"ok")
    same(recv_all(sock, 4), b"open")


class Aiocb(ctypes.Structure):
    _fields_ = [
        ("fd", ctypes.c_int),
        ("opcode", ctypes.c_int),
        ("priority", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("notify", ctypes.c_char * 64),
        ("rest", ctypes.c_char * 200),
    ]


def aio_server(sock, peer):
    """glibc's threads read and write it by system calls of their own."""
    buffer = ctypes.create_string_buffer(1000)
    request = Aiocb(fd=sock.fileno(), buffer=ctypes.addressof(buffer), bytes=1000)
    struct.pack_into("iii", (sigevent := bytearray(64)), 8, 0, 1, 0)  # SIGEV_NONE
    request.notify = bytes(sigevent)
    same(libc.aio_read(ctypes.byref(request)), 0)
    peer.tell()
    waiting = (ctypes.POINTER(Aiocb) * 1)(ctypes.pointer(request))
    while libc.aio_error(ctypes.byref(request)) == errno.EINPROGRESS:
        libc.aio_suspend(waiting, 1, None)
    same(libc.aio_return(ctypes.byref(request)), 1000)
    same(buffer.raw, bytes_of(1000)[:1000])
    sock.sendall(b"got it")


def aio_client(sock, peer):
    peer.wait()
    sock.sendall(bytes_of(1000)[:1000])
    same(recv_all(sock, 6), b"got it")


def sigio_server(sock, peer):
    """O_ASYNC raises SIGIO when bytes come."""
    heard = []
    signal.signal(signal.SIGIO, lambda *_: heard.append(1))
    fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    fcntl.fcntl(sock, fcntl.F_SETFL, flags | os.O_ASYNC)
    peer.tell()
    peer.wait()
    same(recv_all(sock, 5), b"hello")
    assert heard, "no SIGIO"
    sock.sendall(b"ok")


def sigio_client(sock, peer):
    peer.wait()
    sock.sendall(b"hello")
    peer.tell()
    same(recv_all(sock, 2), b"ok")


def disconnected_server(sock, peer):
    """connect(AF_UNSPEC) takes a connection apart; the socket can be connected again."""
    listener = socket.create_server(("127.0.0.1", 0))
    sock.sendall(struct.pack("!H", listener.getsockname()[1]))
    raises((errno.ECONNRESET,), recv_to_end, sock)
    again = listener.accept()[0]
    for i in range(200):
        again.sendall(recv_all(again, 4))
    same(recv_to_end(again), b"end")
    again.close()


def disconnected_client(sock, peer):
    (port,) = struct.unpack("!H", recv_all(sock, 2))
    unspecified = bytes(16)
    same(libc.connect(sock.fileno(), unspecified, len(unspecified)), 0)
    sock.connect(("127.0.0.1", port))
    for i in range(200):
        sock.sendall(b"%4d" % i)
        same(recv_all(sock, 4), b"%4d" % i)
    sock.sendall(b"end")
    sock.shutdown(socket.SHUT_WR)
    same(recv_to_end(sock), b"")


SO_TIMESTAMP = 29


def timestamps_server(sock, peer):
    """Who asks for time stamps gets them (the kernel begins some time after the first request)."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMP, 1)
    for _ in range(500):
        sock.sendall(b"next!")
        data, control, flags, _ = sock.recvmsg(5, 200)
        same(data, b"hello")
        if control:
            break
        time.sleep(0.01)
    same([(level, kind) for level, kind, _ in control], [(socket.SOL_SOCKET, SO_TIMESTAMP)])
    sock.sendall(b"done!")


def timestamps_client(sock, peer):
    while recv_all(sock, 5) == b"next!":
        sock.sendall(b"hello")


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("len", ctypes.c_size_t)]


class Mmsghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint),
        ("iov", ctypes.POINTER(Iovec)),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_char_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
        ("len", ctypes.c_uint),
    ]


def passed_by_sendmmsg_server(sock, peer):
    """As `passed`, by sendmmsg."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        sock.close()
        _, descriptors, _, _ = socket.recv_fds(theirs, 1, 1)
        passed = socket.socket(fileno=descriptors[0])
        same(recv_all(passed, 1000), bytes_of(1000)[:1000])
        passed.sendall(b"from the receiver")
        os._exit(0)
    control = struct.pack("=QiiiI", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, sock.fileno(), 0)
    piece = Iovec(b"x", 1)
    message = Mmsghdr(
        iov=ctypes.pointer(piece), iovlen=1, control=control, controllen=len(control)
    )
    same(libc.sendmmsg(ours.fileno(), ctypes.byref(message), 1, 0), 1)
    sock.close()
    peer.tell()
    same(os.waitpid(child, 0)[1], 0, "the receiving process")


def passed_by_sendmmsg_client(sock, peer):
    peer.wait()
    sock.sendall(bytes_of(1000)[:1000])
    same(recv_to_end(sock), b"from the receiver")


def low_level_fork_server(sock, peer):
    """_Fork runs no handlers; parent and child use the connection in turn."""
    child = libc._Fork()
    if child == 0:
        same(recv_all(sock, 1000), bytes_of(1000)[:1000])
        sock.sendall(b"child")
        os._exit(0)
    same(os.waitpid(child, 0)[1], 0, "the child")
    same(recv_all(sock, 1000), bytes_of(1000)[:1000])
    sock.sendall(b"parent")


def low_level_fork_client(sock, peer):
    for answer in (b"child", b"parent"):
        sock.sendall(bytes_of(1000)[:1000])
        same(recv_all(sock, len(answer)), answer)


def take_numbers(sock, peer, echo):
    """While `echo` runs in a thread, puts a pipe on every number that the library may have."""
    reader, writer = os.pipe()
    thread = threading.Thread(target=echo, args=(sock,))
    thread.start()
    peer.wait()  # the thread has slept on all that it needs for that
    last = max(int(name) for name in os.listdir("/proc/self/fd"))
    for number in range(512, max(last, 512) + 8):
        os.dup2(writer, number, inheritable=False)
    peer.tell()
    thread.join(10)
    os.set_blocking(reader, False)
    raises((errno.EAGAIN,), os.read, reader, 100)
    sock.setblocking(True)
    sock.shutdown(socket.SHUT_WR)


def taken_numbers_server(sock, peer):
    """A program may put a file of its own on any number: nobody else writes into it."""

    def echo(sock):
        while data := sock.recv(100):
            sock.sendall(data)

    take_numbers(sock, peer, echo)


def taken_numbers_client(sock, peer):
    def exchange(i):
        time.sleep(0.0003)  # the other side is to fall asleep
        sock.sendall(b"%4d" % i)
        same(recv_all(sock, 4), b"%4d" % i)

    for i in range(300):
        exchange(i)
    peer.tell()
    peer.wait()
    for i in range(300):
        exchange(i)
    sock.shutdown(socket.SHUT_WR)
    same(recv_to_end(sock), b"")


def taken_numbers_epoll_server(sock, peer):
    """The same with a server that waits in epoll."""

    def echo(sock):
        sock.setblocking(False)
        with select.epoll() as epoll:
            epoll.register(sock, select.EPOLLIN)
            while True:
                same(epoll.poll(10), [(sock.fileno(), select.EPOLLIN)][:1])
                data = sock.recv(100)
                sock.sendall(data)
                if len(data) == 3:
                    return

    take_numbers(sock, peer, echo)


def taken_numbers_epoll_client(sock, peer):
    for i in range(600):
        time.sleep(0.0003)
        sock.sendall(b"%4d" % i)
        same(recv_all(sock, 4), b"%4d" % i)
        if i == 300:
            peer.tell()
            peer.wait()
    sock.sendall(b"end")
    same(recv_to_end(sock), b"end")


def edge_tells_all_server(sock, peer):
    """An edge for reading also says that there is room, though that was told before."""
    both = select.EPOLLIN | select.EPOLLOUT
    with select.epoll() as epoll:
        epoll.register(sock, both | select.EPOLLET)
        same(epoll.poll(10), [(sock.fileno(), select.EPOLLOUT)], "at first")
        same(epoll.poll(0.05), [], "nothing new")
        for _ in range(3):
            peer.tell()
            same(epoll.poll(10), [(sock.fileno(), both)], "bytes came")
            same(epoll.poll(0.05), [], "nothing new")
        same(recv_all(sock, 3), b"+++")
    sock.sendall(b"!")


def edge_tells_all_client(sock, peer):
    for _ in range(3):
        peer.wait()
        sock.sendall(b"+")
    same(recv_all(sock, 1), b"!")


EARLY_EXCHANGES = 1500


def early_registration_server(sock, peer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock.sendall(b"%5d" % listener.getsockname()[1])
        for _ in range(3):
            other = listener.accept()[0]
            with other:
                for _ in range(EARLY_EXCHANGES):
                    other.sendall(recv_all(other, 5))
                same(recv_to_end(other), b"")


def early_registration_client(sock, peer):
    """nginx adds a socket to its epoll first and connects it then."""
    address = ("127.0.0.1", int(recv_all(sock, 5)))
    first = select.EPOLLIN | select.EPOLLOUT
    for before, after in (
        (select.EPOLLIN, None),
        (first | select.EPOLLET, None),
        (0, select.EPOLLIN | select.EPOLLET),
    ):
        other = socket.socket()
        other.setblocking(False)
        with other, select.epoll() as idle, select.epoll() as epoll:
            idle.register(other, 0)
            epoll.register(other, before)
            if after is not None:
                epoll.modify(other, after)
            raises((errno.EINPROGRESS,), other.connect, address)
            select.select([], [other], [], 10)
            for _ in range(EARLY_EXCHANGES):
                other.sendall(b"hello")
                while (events := epoll.poll(10)) and not events[0][1] & select.EPOLLIN:
                    pass
                same([fd for fd, _ in events], [other.fileno()], "bytes came")
                same(recv_all(other, 5), b"hello")


def short_read_server(sock, peer):
    """A read that is short has taken all there was, though the sender changed its way in between."""
    sock.sendall(bytes_of(1000)[:1000])
    peer.tell()
    peer.wait()
    time.sleep(0.02)  # our side notices that the peer has half-closed, and leaves the ring
    sock.sendall(bytes_of(3000)[1000:3000])
    peer.tell()
    same(recv_to_end(sock), b"")


def short_read_client(sock, peer):
    peer.wait()
    sock.shutdown(socket.SHUT_WR)
    peer.tell()
    peer.wait()
    same(sock.recv(65_536), bytes_of(3000)[:3000])
