"""Checks of a connection's end, of waiting, and of several descriptors, threads and processes.
See semantics.py."""

import ctypes
import errno
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

from semantics_tools import (BIG, bytes_of, libc, raises, recv_all, recv_to_end, same, until_events,
                             until_queued)

# -- the end of a connection ----------------------------------------------------------------------

def half_close_server(sock, peer):
    same(recv_to_end(sock), bytes_of(BIG)[:BIG])
    same(sock.recv(10), b"", "the end stays the end")
    until_events(sock, select.POLLIN | select.POLLRDHUP)
    sock.sendall(b"answer after the end")
    sock.shutdown(socket.SHUT_WR)


def half_close_client(sock, peer):
    sock.sendall(bytes_of(BIG)[:BIG])
    sock.shutdown(socket.SHUT_WR)
    raises([errno.EPIPE], sock.send, b"x")
    same(recv_to_end(sock), b"answer after the end")
    until_events(sock, select.POLLIN | select.POLLHUP | select.POLLRDHUP)


def shut_reading_server(sock, peer):
    sock.shutdown(socket.SHUT_RD)
    same(sock.recv(10), b"")
    sock.sendall(b"still sending")
    peer.tell()


def shut_reading_client(sock, peer):
    peer.wait()
    same(recv_all(sock, 13), b"still sending")


def reset_server(sock, peer):
    """SO_LINGER 0: close resets."""
    peer.wait()
    raises([errno.ECONNRESET], recv_to_end, sock)
    same(sock.recv(10), b"", "after the error")


def reset_client(sock, peer):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    peer.tell()


def unread_server(sock, peer):
    """Closing with unread bytes resets."""
    until_queued(sock, 1000)
    sock.close()
    peer.tell()


def unread_client(sock, peer):
    sock.sendall(bytes(1000))
    peer.wait()
    raises([errno.ECONNRESET], recv_to_end, sock)


def closed_server(sock, peer):
    sock.close()
    peer.tell()


def closed_client(sock, peer):
    peer.wait()
    same(sock.recv(10), b"")
    raises([errno.EPIPE, errno.ECONNRESET], send_ten_times, sock)


def send_ten_times(sock):
    for _ in range(10):
        sock.send(b"x")
        time.sleep(0.02)


# -- waiting --------------------------------------------------------------------------------------

def edge_server(sock, peer):
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLIN | select.EPOLLET)
    same(epoll.poll(0), [])
    peer.tell()
    same(epoll.poll(5), [(sock.fileno(), select.EPOLLIN)])
    same(epoll.poll(0.05), [], "no second event for the same bytes")
    same(sock.recv(1), b"1")
    same(epoll.poll(0.05), [], "nor after a part has been read")
    peer.tell()
    same(epoll.poll(5), [(sock.fileno(), select.EPOLLIN)], "new bytes, new event")
    same(recv_all(sock, 5), b"23456")
    epoll.modify(sock, select.EPOLLIN | select.EPOLLET)
    same(epoll.poll(0.05), [])


def edge_client(sock, peer):
    for data in (b"123", b"456"):
        peer.wait()
        sock.sendall(data)


def oneshot_server(sock, peer):
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLIN | select.EPOLLONESHOT)
    peer.tell()
    same(epoll.poll(5), [(sock.fileno(), select.EPOLLIN)])
    peer.tell()
    until_queued(sock, 4)
    same(epoll.poll(0.05), [], "disarmed")
    epoll.modify(sock, select.EPOLLIN | select.EPOLLONESHOT)
    same(epoll.poll(5), [(sock.fileno(), select.EPOLLIN)], "armed again")


def oneshot_client(sock, peer):
    for _ in range(2):
        peer.wait()
        sock.sendall(b"hi")


def two_epolls_server(sock, peer):
    epolls = [select.epoll(), select.epoll()]
    for epoll in epolls:
        epoll.register(sock, select.EPOLLIN)
    nested = select.epoll()
    nested.register(epolls[1], select.EPOLLIN)
    peer.tell()
    for epoll in epolls:
        same(epoll.poll(5), [(sock.fileno(), select.EPOLLIN)])
    same(nested.poll(5), [(epolls[1].fileno(), select.EPOLLIN)])
    epolls[0].unregister(sock)
    same(epolls[0].poll(0), [])
    same(sock.recv(10), b"hi")
    same(epolls[1].poll(0), [])


def two_epolls_client(sock, peer):
    peer.wait()
    sock.sendall(b"hi")


def mixed_server(sock, peer):
    """One epoll with a pipe and the connection: each is seen while the other is busy."""
    read, write = os.pipe()
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLIN)
    epoll.register(read, select.EPOLLIN)
    same(epoll.poll(0.05), [])
    os.write(write, b"x")
    peer.tell()
    until_queued(sock, 2)
    same(sorted(epoll.poll(5)), sorted([(sock.fileno(), select.EPOLLIN), (read, select.EPOLLIN)]))
    seen = {fd for _ in range(4) for fd, _ in epoll.poll(5, 1)}
    same(seen, {sock.fileno(), read}, "with room for one event, each gets its turn")


def mixed_client(sock, peer):
    peer.wait()
    sock.sendall(b"hi")


def interrupted_server(sock, peer):
    """A handler without SA_RESTART interrupts a blocked recv, one with SA_RESTART does not."""
    hits = []
    signal.signal(signal.SIGALRM, lambda *_: hits.append(1))
    buffer = ctypes.create_string_buffer(10)

    libc.siginterrupt(signal.SIGALRM, 1)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    same(libc.recv(sock.fileno(), buffer, 10, 0), -1)
    same(ctypes.get_errno(), errno.EINTR)

    libc.siginterrupt(signal.SIGALRM, 0)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    peer.tell()
    same(libc.recv(sock.fileno(), buffer, 10, 0), 4)
    same(buffer.value, b"data")


def interrupted_client(sock, peer):
    peer.wait()
    time.sleep(0.4)
    sock.sendall(b"data")


def threads_server(sock, peer):
    """Four threads receive from one connection: together they get every byte once."""
    counts = []

    def receive():
        got = 0
        while data := sock.recv(1000):
            got += sum(data)
        counts.append(got)

    workers = [threading.Thread(target=receive) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    same(sum(counts), sum(bytes_of(BIG)[:BIG]))


def threads_client(sock, peer):
    sock.sendall(bytes_of(BIG)[:BIG])
    sock.shutdown(socket.SHUT_WR)


# -- several descriptors, several processes -------------------------------------------------------

def duplicate_server(sock, peer):
    copy = os.dup(sock.fileno())
    number = os.dup2(copy, 200)
    same(sock.recv(10), b"1")
    os.close(sock.detach())
    peer.tell()
    same(os.read(copy, 10), b"2", "the copy lives on")
    os.close(copy)
    peer.tell()
    same(os.read(number, 10), b"3")
    os.write(number, b"bye")
    os.close(number)


def duplicate_client(sock, peer):
    sock.sendall(b"1")
    for data in (b"2", b"3"):
        peer.wait()
        sock.sendall(data)
    same(recv_to_end(sock), b"bye", "the end comes with the last copy's")


def reused_number_server(sock, peer):
    """A closed connection's number is a file's next: its bytes are the file's."""
    number = sock.detach()
    os.close(number)
    with tempfile.TemporaryFile(buffering=0) as file:
        same(file.fileno(), number)
        os.write(number, b"to the file")
        same(os.pread(number, 100, 0), b"to the file")
    peer.tell()


def reused_number_client(sock, peer):
    peer.wait()
    same(sock.recv(10), b"")


def forked_server(sock, peer):
    """A forked child answers, then its parent goes on."""
    for i in range(5):
        child = os.fork()
        if child == 0:
            same(recv_all(sock, 1000), bytes_of(1000)[:1000])
            sock.sendall(b"child")
            os._exit(0)
        same(os.waitpid(child, 0)[1], 0, "the child")
        same(recv_all(sock, 1000), bytes_of(1000)[:1000])
        sock.sendall(b"parent")


def forked_client(sock, peer):
    for i in range(5):
        for answer in (b"child", b"parent"):
            sock.sendall(bytes_of(1000)[:1000])
            same(recv_all(sock, len(answer)), answer)


def stdin_server(sock, peer, environment=None):
    """Another program gets the connection as its stdin and stdout."""
    done = subprocess.run(["cat"], stdin=sock, stdout=sock, env=environment, timeout=10)
    same(done.returncode, 0)


def stdin_client(sock, peer):
    data = bytes_of(BIG)[:BIG]
    sender = threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)))
    sender.start()
    same(recv_all(sock, BIG), data)
    sender.join()


def plain_stdin_server(sock, peer):
    """The same with a program that does not load the library."""
    without = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    stdin_server(sock, peer, without)


plain_stdin_client = stdin_client


def passed_server(sock, peer):
    """The connection is passed to a process that was there before it."""
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
    socket.send_fds(ours, [b"x"], [sock.fileno()])
    sock.close()
    peer.tell()
    same(os.waitpid(child, 0)[1], 0, "the receiving process")


def passed_client(sock, peer):
    peer.wait()
    sock.sendall(bytes_of(1000)[:1000])
    same(recv_to_end(sock), b"from the receiver")
