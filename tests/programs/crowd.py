"""A crowd of connections in one epoll a side: level-triggered, edge-triggered and one-shot ones, few or
all of them active, messages from a byte to more than a ring holds, few places in the result. Every
byte of every echo is compared. Nothing but the event can wake a side: one that is lost ends with a
line that says who waited for what.

usage: crowd.py server PORT | crowd.py client PORT CONNECTIONS ROUNDS SEED
"""

import random
import resource
import select
import socket
import sys

PATIENCE_S = 60
LEVEL, EDGE, ONESHOT = styles = ("level", "edge", "one-shot")


class Connection:
    def __init__(self, sock, style):
        sock.setblocking(False)
        self.sock, self.style = sock, style
        self.unsent = bytearray()
        self.sent = self.received = self.expected = 0
        self.asked = None

    def events(self):
        wanted = select.EPOLLIN | (select.EPOLLOUT if self.unsent or self.style == EDGE else 0)
        if self.style == EDGE:
            wanted |= select.EPOLLET
        return wanted | (select.EPOLLONESHOT if self.style == ONESHOT else 0)

    def register(self, poller, fired=False):
        wanted = self.events()
        if self.asked is None:
            poller.register(self.sock, wanted)
        elif wanted != self.asked or (fired and self.style == ONESHOT):
            poller.modify(self.sock, wanted)
        self.asked = wanted

    def flush(self):
        while self.unsent:
            try:
                n = self.sock.send(self.unsent)
            except BlockingIOError:
                return
            self.sent += n
            del self.unsent[:n]

    def receive(self, size):
        """What there is: None at the end. Edge-triggered ones read until there is no more."""
        pieces = []
        while True:
            try:
                piece = self.sock.recv(size)
            except BlockingIOError:
                break
            if not piece:
                return None
            pieces.append(piece)
            if self.style != EDGE:
                break
        data = b"".join(pieces)
        self.received += len(data)
        return data

    def __str__(self):
        return (
            f"{self.style} {self.sock.getsockname()[1]}-{self.sock.getpeername()[1]}: "
            f"{self.sent} sent, {len(self.unsent)} unsent, {self.received} received"
        )


def wait(poller, numbers, who, timeout=PATIENCE_S):
    events = poller.poll(timeout, numbers.choice((1, 2, 7, 64, 500)))
    if not events and timeout > 0:
        waiting = [c for c in who if c.unsent or c.received < c.expected]
        if waiting:
            sys.exit(f"no event in {timeout} s, {len(waiting)} wait: {'; '.join(map(str, waiting[:5]))}")
    return events


def expect_bytes(data, connection, events):
    """A level-triggered EPOLLIN is a promise."""
    if data == b"" and events & select.EPOLLIN and connection.style != EDGE:
        sys.exit(f"an event without bytes: {connection}")


def serve(port):
    numbers = random.Random(port)
    listener = socket.create_server(("127.0.0.1", port), backlog=1000)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    by_fd = {}
    while True:
        for fd, events in wait(poller, numbers, by_fd.values()):
            if fd == listener.fileno():
                try:
                    connection = Connection(listener.accept()[0], numbers.choice(styles))
                except BlockingIOError:
                    continue
                by_fd[connection.sock.fileno()] = connection
                connection.register(poller)
                continue
            connection = by_fd[fd]
            data = connection.receive(65536)
            if data is None:
                del by_fd[fd]
                connection.sock.close()
                continue
            expect_bytes(data, connection, events)
            connection.unsent += data
            connection.flush()
            connection.register(poller, fired=True)


def message(numbers):
    size = numbers.choice((1, 1, 8, 8, 8, 100, 1000)) if numbers.random() < 0.995 else 300_000
    return numbers.randbytes(size)


class Crowd:
    def __init__(self, port, count, seed):
        self.numbers = random.Random(seed)
        self.poller = select.epoll()
        self.echoes = {}
        self.all = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port))
            connection = Connection(sock, self.numbers.choice(styles))
            connection.register(self.poller)
            self.echoes[sock.fileno()] = (connection, bytearray())
            self.all.append(connection)

    def round(self, active):
        """So many connections send a message; until every echo has come."""
        for connection in self.numbers.sample(self.all, active):
            body = message(self.numbers)
            self.echoes[connection.sock.fileno()][1].extend(body)
            connection.expected += len(body)
            connection.unsent += body
            connection.flush()
            connection.register(self.poller)
        late = {c for c in self.all if c.received < c.expected}
        while late:
            for fd, events in wait(self.poller, self.numbers, self.all):
                connection = self.echoes[fd][0]
                self.take(connection, events)
                if connection.received == connection.expected:
                    late.discard(connection)

    def take(self, connection, events):
        data = connection.receive(self.numbers.choice((1, 50, 65536)))
        if data is None:
            sys.exit(f"the server closed: {connection}")
        expect_bytes(data, connection, events)
        wanted = self.echoes[connection.sock.fileno()][1]
        if wanted[: len(data)] != data:
            sys.exit(f"the echo differs: {connection}")
        del wanted[: len(data)]
        connection.flush()
        connection.register(self.poller, fired=True)


def ask(port, count, rounds, seed):
    crowd = Crowd(port, count, seed)
    for number in range(rounds):
        crowd.round(count if number % 20 == 0 else crowd.numbers.choice((1, 1, 3, 80, 300)))
    print(f"{sum(c.received for c in crowd.all)} bytes right")


def main():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    role, port, *rest = sys.argv[1:]
    if role == "server":
        serve(int(port))
    else:
        ask(int(port), *map(int, rest))


main()
