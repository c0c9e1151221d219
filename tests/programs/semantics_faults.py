"""Checks of calls whose addresses lead nowhere: EFAULT, nothing lost, nothing twice, and the
program's own handlers for SIGSEGV and SIGBUS as before. See semantics.py."""

import ctypes
import errno
import faulthandler
import mmap
import os
import select
import signal
import socket
import struct
import tempfile

from semantics_tools import BIG, bytes_of, libc, queued, recv_all, same, until_queued

PAGE = mmap.PAGESIZE
PROT_NONE = 0
WILD = 0x10  # no process has memory there
KERNEL = 2 ** 64 - 4096

kept = []  # what is known to the kernel by address only

libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for name in ("recv", "send", "read", "write", "readv", "writev", "recvmsg", "sendmsg"):
    getattr(libc, name).restype = ctypes.c_ssize_t


def call(name, *arguments):
    """A libc call with addresses as plain numbers: its result, or the name of its errno."""
    words = [ctypes.c_void_p(a) if isinstance(a, int) else a for a in arguments]
    result = getattr(libc, name)(*words)
    return result if result >= 0 else errno.errorcode[ctypes.get_errno()]


def edge(protection=PROT_NONE, before=b""):
    """An address behind which memory ends; `before` lies just before it."""
    start = libc.mmap(None, 64 * PAGE + PAGE, mmap.PROT_READ | mmap.PROT_WRITE,
                      mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    end = start + 64 * PAGE
    same(libc.mprotect(end, PAGE, protection), 0)
    ctypes.memmove(end - len(before), before, len(before))
    return end


def truncated_mapping():
    """An address in a mapped file behind whose end there is no page any more."""
    file = tempfile.TemporaryFile()
    file.truncate(3 * PAGE)
    start = libc.mmap(None, 3 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file.fileno(), 0)
    file.truncate(2 * PAGE)
    file.close()
    return start + 2 * PAGE


def iovecs(*pieces):
    return ctypes.create_string_buffer(b"".join(struct.pack("PN", *piece) for piece in pieces))


def header(iov, count):
    kept.append(iov)
    return ctypes.create_string_buffer(struct.pack("PIxxxxPNPNi", 0, 0, ctypes.addressof(iov), count, 0, 0, 0))


# -- sending ---------------------------------------------------------------------------------------

def bad_send_server(sock, peer):
    same(recv_all(sock, 9), b"goodgood.")
    peer.tell()


def bad_send_client(sock, peer):
    fd = sock.fileno()
    good = ctypes.create_string_buffer(b"good")
    for length in (1, 2, 5, 11, 40, 64, 65, 300, 5000):
        for address in (WILD, 0, KERNEL, edge(), edge() - length + 1, truncated_mapping(),
                        truncated_mapping() - length + 1):
            same(call("send", fd, address, length, 0), "EFAULT", f"send of {length} from {address:#x}")
            same(call("write", fd, address, length), "EFAULT", f"write of {length} from {address:#x}")
    same(call("send", fd, WILD, 0, 0), 0)
    same(call("writev", fd, iovecs((ctypes.addressof(good), 4), (WILD, 4)), 2), "EFAULT")
    same(call("writev", fd, iovecs((ctypes.addressof(good), 4), (WILD, 0)), 2), 4)
    same(call("writev", fd, WILD, 2), "EFAULT")
    same(call("sendmsg", fd, header(iovecs((edge(), 4)), 1), 0), "EFAULT")
    same(call("sendmsg", fd, WILD, 0), "EFAULT")
    same(call("sendmsg", fd, header(iovecs((ctypes.addressof(good), 4)), 1), 0), 4)
    sock.sendall(b".")
    peer.wait()


def half_bad_send_server(sock, peer):
    """Whatever was said to be sent has come, and nothing else."""
    sent = struct.unpack("q", recv_all(peer.socket, 8))[0]
    same(recv_all(sock, sent), bytes_of(BIG)[:sent])
    same(sock.recv(100), b"after")


def half_bad_send_client(sock, peer):
    data = bytes_of(BIG)[:60 * PAGE]
    got = call("send", sock.fileno(), edge(before=data) - len(data), 2 * len(data), 0)
    sent = 0 if got == "EFAULT" else got
    assert 0 <= sent <= len(data), sent
    peer.socket.sendall(struct.pack("q", sent))
    sock.sendall(b"after")


# -- receiving -------------------------------------------------------------------------------------

def bad_recv_server(sock, peer):
    fd = sock.fileno()
    until_queued(sock, 5000)
    for length in (1, 2, 5, 11, 40, 64, 65, 300, 5000):
        for address in (WILD, 0, KERNEL, edge(), edge() - length + 1, edge(mmap.PROT_READ),
                        truncated_mapping(), truncated_mapping() - length + 1):
            same(call("recv", fd, address, length, 0), "EFAULT", f"recv of {length} to {address:#x}")
            same(call("read", fd, address, length), "EFAULT", f"read of {length} to {address:#x}")
            same(call("recv", fd, address, length, socket.MSG_PEEK), "EFAULT")
    room = ctypes.create_string_buffer(4)
    same(call("readv", fd, iovecs((ctypes.addressof(room), 4), (WILD, 4)), 2), "EFAULT")
    same(call("readv", fd, WILD, 2), "EFAULT")
    same(call("recvmsg", fd, header(iovecs((edge(), 4)), 1), 0), "EFAULT")
    same(call("recvmsg", fd, WILD, 0), "EFAULT")
    same(queued(sock), 5000)
    same(recv_all(sock, 5000), bytes_of(5000)[:5000])
    peer.tell()
    # More room than there is, in memory and in the stream.
    until_queued(sock, 100)
    end = edge()
    same(call("recv", fd, end - 100, 5000, 0), 100)
    same(ctypes.string_at(end - 100, 100), bytes_of(100)[:100])


def bad_recv_client(sock, peer):
    sock.sendall(bytes_of(5000)[:5000])
    peer.wait()
    sock.sendall(bytes_of(100)[:100])


def refused_recv_server(sock, peer):
    """An address of the kernel's is refused before there is anything to read."""
    same(call("recv", sock.fileno(), KERNEL, 10, 0), "EFAULT")
    peer.tell()


def refused_recv_client(sock, peer):
    peer.wait()


# -- other addresses -------------------------------------------------------------------------------

def bad_addresses_server(sock, peer):
    fd = sock.fileno()
    until_queued(sock, 1)
    fionread, siocoutq = 0x541B, 0x5411
    for address in (WILD, edge()):
        same(call("ioctl", fd, fionread, address), "EFAULT")
        same(call("ioctl", fd, siocoutq, address), "EFAULT")
        same(call("poll", address, 1, 0), "EFAULT")
        same(call("select", fd + 1, address, 0, 0, 0), "EFAULT")
        epoll = select.epoll()
        same(call("epoll_ctl", epoll.fileno(), 1, fd, address), "EFAULT")
        epoll.register(fd, select.EPOLLIN | select.EPOLLET)
        same(call("epoll_wait", epoll.fileno(), address, 8, 1000), "EFAULT")
        same(epoll.poll(1), [(fd, select.EPOLLIN)], "the event of an edge that EFAULT did not eat")
    same(recv_all(sock, 1), b"x")
    peer.tell()


def bad_addresses_client(sock, peer):
    sock.sendall(b"x")
    peer.wait()


# -- handlers --------------------------------------------------------------------------------------

class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_byte * 128), ("flags", ctypes.c_int),
                ("restorer", ctypes.c_void_p)]


def ending_of(child):
    """How a forked child ends: its exit code, or minus its signal."""
    pid = os.fork()
    if pid == 0:
        child()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def handlers_server(sock, peer):
    fd = sock.fileno()
    for number in (signal.SIGSEGV, signal.SIGBUS):
        same(signal.getsignal(number), signal.SIG_DFL)
        same(ending_of(lambda: os.kill(os.getpid(), number)), -number, "sent, default action")
        same(ending_of(lambda: (signal.signal(number, signal.SIG_IGN), os.kill(os.getpid(), number))), 0)
        called = []
        signal.signal(number, lambda *_: called.append(1))
        os.kill(os.getpid(), number)
        same(called, [1], "a handler for a signal that was sent")
        same(call("send", fd, edge(), 10, 0), "EFAULT")
        same(call("send", fd, truncated_mapping(), 10, 0), "EFAULT")
        same(called, [1], "EFAULT does not reach the handler")
        action = Action()
        same(libc.sigaction(int(number), None, ctypes.byref(action)), 0)
        libc.sigaction(int(number), ctypes.byref(action), None)
        same(call("send", fd, edge(), 10, 0), "EFAULT", "after its handler was installed anew")
        os.kill(os.getpid(), number)
        same(called, [1, 1])
        signal.signal(number, signal.SIG_DFL)
    same(ending_of(lambda: ctypes.string_at(WILD)), -signal.SIGSEGV, "a fault, default action")
    same(ending_of(lambda: ctypes.string_at(truncated_mapping())), -signal.SIGBUS)
    peer.tell()


def handlers_client(sock, peer):
    peer.wait()


def crash_reports_server(sock, peer):
    """A handler of C code, which passes the signal on to what was there before."""
    with tempfile.TemporaryFile("w+") as report:
        faulthandler.enable(report)
        same(call("send", sock.fileno(), edge(), 10, 0), "EFAULT")
        same(report.tell(), 0)
        same(ending_of(lambda: ctypes.string_at(WILD)), -signal.SIGSEGV)
        report.seek(0)
        assert "Segmentation fault" in report.read()
        faulthandler.disable()
    same(call("send", sock.fileno(), edge(), 10, 0), "EFAULT")
    peer.tell()


def crash_reports_client(sock, peer):
    peer.wait()
