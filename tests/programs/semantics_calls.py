"""Checks of single calls, their flags, and socket options. See semantics.py."""

import array
import ctypes
import errno
import fcntl
import os
import select
import socket
import struct
import tempfile
import time

from semantics_tools import (BIG, bytes_of, events_of, libc, queued, raises, recv_all, recv_to_end,
                             same, set_timeout, until_events, until_queued)

# -- flags of recv and send -----------------------------------------------------------------------

def peek_server(sock, peer):
    same(sock.recv(3, socket.MSG_PEEK), b"hel")
    same(sock.recv(100, socket.MSG_PEEK), b"hello")
    same(sock.recv(100), b"hello")


def peek_client(sock, peer):
    sock.sendall(b"hello")


def waitall_server(sock, peer):
    same(sock.recv(BIG, socket.MSG_WAITALL), bytes_of(BIG)[:BIG])
    same(sock.recv(BIG, socket.MSG_WAITALL), b"the rest, then the end")


def waitall_client(sock, peer):
    data = bytes_of(BIG)[:BIG]
    for start in range(0, BIG, 100_000):
        sock.sendall(data[start:start + 100_000])
    sock.sendall(b"the rest, then the end")
    sock.shutdown(socket.SHUT_WR)


def dontwait_server(sock, peer):
    raises([errno.EAGAIN], sock.recv, 10, socket.MSG_DONTWAIT)
    peer.tell()
    same(events_of(sock, 5000), select.POLLIN)
    same(sock.recv(10, socket.MSG_DONTWAIT), b"now")


def dontwait_client(sock, peer):
    peer.wait()
    sock.sendall(b"now")


def truncate_server(sock, peer):
    until_queued(sock, 10)
    buffer = ctypes.create_string_buffer(b"untouched")
    same(libc.recv(sock.fileno(), buffer, 4, socket.MSG_TRUNC), 4)
    same(buffer.value, b"untouched", "the buffer of a discarding recv")
    same(sock.recv(100), b"456789")


def truncate_client(sock, peer):
    sock.sendall(b"0123456789")


def nothing_server(sock, peer):
    same(sock.send(b""), 0)
    same(sock.recv(0), b"")
    peer.tell()
    same(sock.recv(10), b"x")


def nothing_client(sock, peer):
    peer.wait()
    sock.sendall(b"x")


def urgent_server(sock, peer):
    peer.wait()
    same(recv_all(sock, 6), b"before")
    until_events(sock, select.POLLIN | select.POLLPRI)
    same(sock.recv(1, socket.MSG_OOB), b"!")
    same(recv_all(sock, 5), b"after")


def urgent_client(sock, peer):
    sock.sendall(b"before")
    sock.send(b"!", socket.MSG_OOB)
    sock.sendall(b"after")
    peer.tell()


# -- other calls ----------------------------------------------------------------------------------

def vectors_server(sock, peer):
    first, second = bytearray(5), bytearray(100)
    until_queued(sock, 11)
    same(os.readv(sock.fileno(), [first, second]), 11)
    same(bytes(first) + bytes(second[:6]), b"hello world")
    data, _, flags, _ = sock.recvmsg(100)
    same((data, flags & socket.MSG_CTRUNC), (b"by message", 0))
    same(os.read(sock.fileno(), 100), b"by write")


def vectors_client(sock, peer):
    same(os.writev(sock.fileno(), [b"hello", b" ", b"", b"world"]), 11)
    until_sent(sock)
    same(sock.sendmsg([b"by ", b"message"]), 10)
    until_sent(sock)
    same(os.write(sock.fileno(), b"by write"), 8)


def until_sent(sock):
    """Waits until the peer has read everything: it answers nothing here, so by a moment's rest."""
    time.sleep(0.1)


def sendfile_server(sock, peer):
    same(recv_all(sock, BIG), bytes_of(BIG)[:BIG])
    same(recv_all(sock, 5), bytes_of(10)[5:10], "the piece from an offset")


def sendfile_client(sock, peer):
    with tempfile.TemporaryFile() as file:
        file.write(bytes_of(BIG)[:BIG])
        file.flush()
        file.seek(0)
        sent = 0
        while sent < BIG:
            n = os.sendfile(sock.fileno(), file.fileno(), None, BIG - sent)
            same(n > 0, True)
            sent += n
        same(file.seek(0, os.SEEK_CUR), BIG, "sendfile moves the file's position")
        same(os.sendfile(sock.fileno(), file.fileno(), 5, 5), 5)
        same(file.seek(0, os.SEEK_CUR), BIG, "not with an offset")


def splice_server(sock, peer):
    """Socket to pipe."""
    read, write = os.pipe()
    data = b""
    while len(data) < 300_000:
        n = os.splice(sock.fileno(), write, 65_536)
        same(n > 0, True)
        data += os.read(read, n)
    same(data, bytes_of(300_000)[:300_000])


def splice_client(sock, peer):
    """Pipe to socket."""
    read, write = os.pipe()
    data = bytes_of(300_000)[:300_000]
    for start in range(0, len(data), 10_000):
        os.write(write, data[start:start + 10_000])
        left = 10_000
        while left > 0:
            left -= os.splice(read, sock.fileno(), left)


def makefile_server(sock, peer):
    with sock.makefile("rwb") as file:
        for i in range(1000):
            same(file.readline(), b"line %d\n" % i)
        file.write(b"thanks\n")


def makefile_client(sock, peer):
    with sock.makefile("rwb") as file:
        for i in range(1000):
            file.write(b"line %d\n" % i)
        file.flush()
        same(file.readline(), b"thanks\n")


def queue_length_server(sock, peer):
    same(queued(sock), 0)
    peer.tell()
    until_queued(sock, 1234)
    same(len(sock.recv(234)), 234)
    same(queued(sock), 1000)


def queue_length_client(sock, peer):
    peer.wait()
    sock.sendall(bytes(1234))


# -- options --------------------------------------------------------------------------------------

def receive_timeout_server(sock, peer):
    set_timeout(sock, socket.SO_RCVTIMEO, 0.2)
    start = time.monotonic()
    raises([errno.EAGAIN], sock.recv, 10)
    same(time.monotonic() - start > 0.15, True, "waited for the timeout")
    set_timeout(sock, socket.SO_RCVTIMEO, 0)
    peer.tell()
    same(sock.recv(10), b"late")


def receive_timeout_client(sock, peer):
    peer.wait()
    time.sleep(0.4)
    sock.sendall(b"late")


def send_timeout_server(sock, peer):
    peer.wait()
    same(len(recv_to_end(sock)) > 0, True)


def send_timeout_client(sock, peer):
    set_timeout(sock, socket.SO_SNDTIMEO, 0.2)
    raises([errno.EAGAIN], fill, sock)
    peer.tell()
    sock.shutdown(socket.SHUT_WR)


def fill(sock):
    while True:
        sock.send(bytes(65_536))


def low_water_server(sock, peer):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 100)
    peer.tell()
    until_queued(sock, 50)
    same(events_of(sock, 100), 0, "50 bytes are below the mark")
    peer.tell()
    same(events_of(sock, 5000), select.POLLIN)
    same(len(sock.recv(1000)), 100)


def low_water_client(sock, peer):
    peer.wait()
    sock.sendall(bytes(50))
    peer.wait()
    sock.sendall(bytes(50))


def names_server(sock, peer):
    same(sock.getsockname(), recv_name(sock))
    same(sock.getpeername(), recv_name(sock))
    same(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0)
    same(sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE), socket.SOCK_STREAM)


def recv_name(sock):
    host, port = recv_all(sock, 32).strip().split(b" ")
    return host.decode(), int(port)


def names_client(sock, peer):
    for host, port in (sock.getpeername(), sock.getsockname()):
        sock.sendall(f"{host} {port}".ljust(32).encode())


def late_nonblocking_server(sock, peer):
    sock.setblocking(False)
    raises([errno.EAGAIN], sock.recv, 10)
    peer.tell()
    same(events_of(sock, 5000), select.POLLIN)
    same(sock.recv(10), b"one")
    fcntl.ioctl(sock, 0x5421, array.array("i", [0]))  # FIONBIO off
    same(os.get_blocking(sock.fileno()), True)
    peer.tell()
    same(os.read(sock.fileno(), 10), b"two")


def late_nonblocking_client(sock, peer):
    peer.wait()
    sock.sendall(b"one")
    peer.wait()
    time.sleep(0.1)
    sock.sendall(b"two")


def full_server(sock, peer):
    peer.wait()
    count = struct.unpack("Q", recv_all(peer.socket, 8))[0]
    same(recv_all(sock, count), bytes_of(count)[:count])


def full_client(sock, peer):
    """A non-blocking sender sends until the socket is full, and what it was told went has gone."""
    sock.setblocking(False)
    data, sent = bytes_of(40_000_000), 0
    try:
        while True:
            sent += sock.send(data[sent:sent + 100_000])
    except BlockingIOError:
        pass
    same(events_of(sock, 0, select.POLLOUT), 0, "writable while full")
    peer.tell()
    peer.socket.sendall(struct.pack("Q", sent))
    same(events_of(sock, 5000, select.POLLOUT), select.POLLOUT, "writable after the peer has read")
