"""Sends and receives so many bytes at once over one TCP connection, in one of several styles.

Both ends run this program. After a few single bytes to and fro (so that the connection has its
carrier) each sends its own stream (made from its seed) in pieces of random
sizes, receives the other's in pieces of random sizes until EOF, and prints the SHA-256 of both, so
that the test can compare what one end sent with what the other received.

usage: both_ways.py server|client STYLE PORT BYTES SEED [ADDRESS]
"""

import asyncio
import hashlib
import random
import select
import selectors
import socket
import sys
import threading

PIECE_MAX = 200_000
GREETINGS = 1000


class Outgoing:
    """The stream to send: pieces of random sizes, the SHA-256 of all that was handed out."""

    def __init__(self, count, seed):
        self.left = count
        self.sha = hashlib.sha256()
        self.random = random.Random(seed)
        # One block of noise, sent from random places: making fresh noise would be the bottleneck.
        self.noise = self.random.randbytes(1 << 20)

    def piece(self):
        """The next piece; empty when everything has been handed out."""
        kind = self.random.random()
        size = self.random.randint(1, 100 if kind < 0.3 else 5000 if kind < 0.6 else PIECE_MAX)
        size = min(size, self.left)
        start = self.random.randrange(len(self.noise) - PIECE_MAX)
        data = self.noise[start:start + size]
        self.left -= size
        self.sha.update(data)
        return data


class Incoming:
    def __init__(self, seed):
        self.count = 0
        self.sha = hashlib.sha256()
        self.random = random.Random(seed + 1)

    def size(self):
        """How much to ask for."""
        return self.random.choice((1, 17, 4096, 65536, PIECE_MAX))

    def take(self, data):
        self.count += len(data)
        self.sha.update(data)


def blocking(sock, out, into):
    """A thread sends with sendall, the main thread receives with recv and recv_into."""

    def send():
        while data := out.piece():
            sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    buffer = bytearray(PIECE_MAX)
    while True:
        size = into.size()
        if size < 1000:
            data = sock.recv(size)
            if not data:
                break
            into.take(data)
        else:
            n = sock.recv_into(buffer, size)
            if n == 0:
                break
            into.take(memoryview(buffer)[:n])
    sender.join()


class Pump:
    """Non-blocking sending and receiving, for the event loops below."""

    def __init__(self, sock, out, into):
        sock.setblocking(False)
        self.sock, self.out, self.into = sock, out, into
        self.unsent = memoryview(b"")
        self.sending = self.receiving = True

    def may_send(self):
        if not self.unsent:
            self.unsent = memoryview(self.out.piece())
        if not self.unsent:
            self.sock.shutdown(socket.SHUT_WR)
            self.sending = False
            return
        try:
            half = len(self.unsent) // 2
            parts = [self.unsent[:half], self.unsent[half:]]
            n = self.sock.sendmsg(parts) if half else self.sock.send(self.unsent)
        except (BlockingIOError, InterruptedError):
            return
        self.unsent = self.unsent[n:]

    def may_receive(self):
        try:
            data = self.sock.recv(self.into.size())
        except (BlockingIOError, InterruptedError):
            return
        if data:
            self.into.take(data)
        else:
            self.receiving = False


def nonblocking(sock, out, into):
    """select.select around non-blocking calls."""
    pump = Pump(sock, out, into)
    while pump.sending or pump.receiving:
        readable, writable, _ = select.select(
            [sock] if pump.receiving else [], [sock] if pump.sending else [], [])
        if readable:
            pump.may_receive()
        if writable:
            pump.may_send()


def polling(sock, out, into):
    pump = Pump(sock, out, into)
    poll = select.poll()
    while pump.sending or pump.receiving:
        wanted = (select.POLLIN if pump.receiving else 0) | (select.POLLOUT if pump.sending else 0)
        poll.register(sock, wanted)
        for _, events in poll.poll():
            if events & (select.POLLIN | select.POLLHUP) and pump.receiving:
                pump.may_receive()
            if events & select.POLLOUT and pump.sending:
                pump.may_send()


def edge(sock, out, into):
    """epoll, edge-triggered: everything is worked off until EAGAIN."""
    pump = Pump(sock, out, into)
    epoll = select.epoll()
    epoll.register(sock, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET)
    while pump.sending or pump.receiving:
        for _, events in epoll.poll():
            progress = True
            while progress and (pump.sending or pump.receiving):
                before = (into.count, out.left, len(pump.unsent), pump.sending, pump.receiving)
                if pump.receiving:
                    pump.may_receive()
                if pump.sending:
                    pump.may_send()
                progress = before != (
                    into.count, out.left, len(pump.unsent), pump.sending, pump.receiving)
    epoll.close()


def with_selectors(sock, out, into):
    pump = Pump(sock, out, into)
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
    wanted = None
    while pump.sending or pump.receiving:
        now = (selectors.EVENT_READ if pump.receiving else 0) | (
            selectors.EVENT_WRITE if pump.sending else 0)
        if now != wanted:
            selector.modify(sock, now)
            wanted = now
        for _, events in selector.select():
            if events & selectors.EVENT_READ and pump.receiving:
                pump.may_receive()
            if events & selectors.EVENT_WRITE and pump.sending:
                pump.may_send()
    selector.close()


def with_asyncio(sock, out, into):
    async def both():
        reader, writer = await asyncio.open_connection(sock=sock)

        async def send():
            while data := out.piece():
                writer.write(data)
                await writer.drain()
            writer.write_eof()

        async def receive():
            while data := await reader.read(into.size()):
                into.take(data)

        await asyncio.gather(send(), receive())
        writer.close()
        await writer.wait_closed()

    sock.setblocking(False)
    asyncio.run(both())


def greet(sock, first):
    """One byte to and fro, many times."""
    for _ in range(GREETINGS):
        if first:
            sock.sendall(b"?")
        if sock.recv(1) != (b"!" if first else b"?"):
            sys.exit("the peer greets strangely")
        if not first:
            sock.sendall(b"!")


STYLES = {
    "blocking": blocking,
    "select": nonblocking,
    "poll": polling,
    "epoll-edge": edge,
    "selectors": with_selectors,
    "asyncio": with_asyncio,
}


def listen(host, port):
    """Where a client of this address arrives; for a mapped one a dual-stack socket."""
    if host.startswith("::ffff:"):
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)


def main():
    role, style, port, count, seed, *rest = sys.argv[1:]
    address = (rest[0] if rest else "127.0.0.1", int(port))
    if role == "server":
        listener = listen(*address)
        sock, _ = listener.accept()
    else:
        sock = socket.create_connection(address)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    greet(sock, role == "client")
    out, into = Outgoing(int(count), int(seed)), Incoming(int(seed))
    STYLES[style](sock, out, into)
    sock.close()
    print(f"sent {out.sha.hexdigest()} received {into.sha.hexdigest()} {into.count}")


main()
