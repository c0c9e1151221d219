"""Does socket operations as its stdin tells it, one line each, and answers each with a line.

A line is NUMBER COMMAND WORDS...; the answer is NUMBER ok TEXT or NUMBER error TEXT. Connections
have names. Streams are position-dependent noise, the same in every process, so that each receiver
can check every byte.

  serve PORT              accept for ever, echo on each connection, a thread each (answers at once)
  listen NAME PORT        a listener
  accept LISTENER NAME    a connection from it
  connect NAME PORT       a connection
  ask NAME COUNT SIZE     ping-pong with an echoing peer, checked
  visit PORT COUNT        so many connections to an echoing peer, one after the other, each used a little
  volley NAME COUNT SIZE ORDER    each side sends in turn; ORDER is first or second
  send NAME BYTES         the next bytes of the stream
  send_end NAME [WAY]     the stream until the peer is gone: the error's name, and how much went
  recv NAME BYTES         checked
  recv_end NAME [WAY]     until the end, checked: eof or the error's name, and how much came
  shutdown NAME           of the sending side
  close NAME
  inherit NAME            its descriptor survives exec from now on
  run HOW SECONDS         another program for so long: system (waits for it), popen, spawn or vfork;
                          the others answer with its process number
  exec_missing            exec of a program that is not there
  fork_exec SECONDS       a forked child that executes a program; its process number
  eat_descriptors LEFT    use up all descriptors but so many; release_descriptors gives them back
  descriptors             how many are open
  limit_memory MB         let the address space grow by so much and no more; unlimit_memory lifts it
  scribble SEED           write noise all over the memory that is shared with peers

WAY is blocking, poll, select or epoll.
"""

import ctypes
import errno
import os
import random
import resource
import select
import socket
import subprocess
import sys
import threading

PERIOD = 1_048_573  # prime: no buffer size is a multiple
NOISE = random.Random("stream").randbytes(PERIOD) * 2
PIECE = 65_536


def stream(position, count):
    start = position % PERIOD
    return NOISE[start:start + count]


class Connection:
    def __init__(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = sock
        self.sent = self.received = 0

    def receive(self, count):
        data = self.socket.recv(count)
        if data != stream(self.received, len(data)):
            raise ValueError(f"wrong bytes behind {self.received}")
        self.received += len(data)
        return len(data)

    def send(self, count):
        n = self.socket.send(stream(self.sent, count))
        self.sent += n
        return n


class Waiter:
    """Waits for one socket, in one of the ways."""

    def __init__(self, sock, way, writing):
        self.socket, self.way, self.writing = sock, way, writing
        sock.setblocking(way == "blocking")
        if way == "epoll":
            self.epoll = select.epoll()
            self.epoll.register(sock, select.EPOLLOUT if writing else select.EPOLLIN)
        elif way == "poll":
            self.poll = select.poll()
            self.poll.register(sock, select.POLLOUT if writing else select.POLLIN)

    def wait(self):
        if self.way == "epoll":
            self.epoll.poll()
        elif self.way == "poll":
            self.poll.poll()
        elif self.way == "select":
            sockets = [self.socket]
            select.select(*(([], sockets, []) if self.writing else (sockets, [], [])))


connections = {}
listeners = {}
eaten = []
eaten_streams = []
children = []


def serve(port):
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=100)

    def echo(sock):
        with sock:
            try:
                while data := sock.recv(PIECE):
                    sock.sendall(data)
            except ConnectionError:
                pass

    def accept():
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=echo, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def listen(name, port):
    listeners[name] = socket.create_server(("127.0.0.1", int(port)), backlog=100)


def accept(listener, name):
    connections[name] = Connection(listeners[listener].accept()[0])


def connect(name, port):
    connections[name] = Connection(socket.create_connection(("127.0.0.1", int(port))))


def ask(name, count, size):
    sock = connections[name].socket
    for i in range(int(count)):
        request = stream(i * 7919, int(size))
        sock.sendall(request)
        got = b""
        while len(got) < len(request):
            data = sock.recv(len(request) - len(got))
            if not data:
                raise ValueError(f"the peer closed in exchange {i}")
            got += data
        if got != request:
            raise ValueError(f"echo {i} differs")


def visit(port, count):
    for _ in range(int(count)):
        connect("visit", port)
        ask("visit", 40, 10)
        close("visit")


def volley(name, count, size, order):
    for _ in range(int(count)):
        for step in (send, recv) if order == "first" else (recv, send):
            step(name, size)


def send(name, count):
    connection, left = connections[name], int(count)
    while left > 0:
        left -= connection.send(min(left, PIECE))


def send_end(name, way="blocking"):
    connection = connections[name]
    waiter = Waiter(connection.socket, way, writing=True)
    while True:
        try:
            waiter.wait()
            connection.send(PIECE)
        except BlockingIOError:
            pass
        except OSError as error:
            return f"{errno.errorcode[error.errno]} {connection.sent}"


def recv(name, count):
    connection, left = connections[name], int(count)
    while left > 0:
        n = connection.receive(min(left, PIECE))
        if n == 0:
            raise ValueError(f"end of stream {left} bytes early")
        left -= n


def recv_end(name, way="blocking"):
    connection = connections[name]
    waiter = Waiter(connection.socket, way, writing=False)
    while True:
        try:
            waiter.wait()
            if connection.receive(PIECE) == 0:
                return f"eof {connection.received}"
        except BlockingIOError:
            pass
        except OSError as error:
            return f"{errno.errorcode[error.errno]} {connection.received}"


def shutdown(name):
    connections[name].socket.shutdown(socket.SHUT_WR)


def close(name):
    connections.pop(name).socket.close()


def inherit(name):
    os.set_inheritable(connections[name].socket.fileno(), True)


def run(how, seconds):
    words = ["sleep", seconds]
    if how == "system":
        return os.system(" ".join(words))
    if how == "popen":
        child = ctypes.CDLL(None).popen
        child.restype = ctypes.c_void_p
        eaten_streams.append(child(" ".join(words).encode(), b"r"))
        return 0
    if how == "spawn":
        return os.posix_spawnp("sleep", words, os.environ)
    children.append(subprocess.Popen(words, close_fds=False))
    return children[-1].pid


def exec_missing():
    try:
        os.execv("/no/such/program", ["program"])
    except FileNotFoundError:
        return "not there"


def fork_exec(seconds):
    pid = os.fork()
    if pid == 0:
        os.execvp("sleep", ["sleep", seconds])
    return pid


def eat_descriptors(left):
    try:
        while True:
            eaten.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
    for _ in range(int(left)):
        os.close(eaten.pop())


def release_descriptors():
    while eaten:
        os.close(eaten.pop())


def descriptors():
    return len(os.listdir("/proc/self/fd")) - 1


def limit_memory(megabytes):
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    soft = pages * resource.getpagesize() + int(megabytes) * 1_000_000
    resource.setrlimit(resource.RLIMIT_AS, (soft, resource.RLIM_INFINITY))


def unlimit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def scribble(seed):
    """Noise into the first megabyte (headers and control words) of each arena."""
    numbers = random.Random(seed)
    arenas = 0
    with open("/proc/self/maps") as file:
        lines = [line for line in file if "/memfd:" in line and " rw-s " in line]
    for line in lines:
        if "socksdirect-ends" in line:  # our own, which no peer reads
            continue
        start, end = (int(word, 16) for word in line.split()[0].split("-"))
        size = min(end - start, 1 << 20)
        # Words, each with a chance: all noise at once would only show the first check.
        for offset in range(4096 * numbers.randrange(2), size, 8):
            if numbers.random() < 0.5:
                ctypes.memmove(start + offset, numbers.randbytes(8), 8)
        arenas += 1
    return f"{arenas} arenas"


COMMANDS = [serve, listen, accept, connect, ask, visit, volley, send, send_end, recv, recv_end, shutdown,
            close, inherit, run, exec_missing, fork_exec, eat_descriptors, release_descriptors, descriptors, limit_memory, unlimit_memory,
            scribble]


def main():
    known = {command.__name__: command for command in COMMANDS}
    for line in sys.stdin:
        number, command, *words = line.split()
        try:
            result = known[command](*words)
            print(f"{number} ok {'' if result is None else result}".rstrip(), flush=True)
        except Exception as error:
            print(f"{number} error {type(error).__name__}: {error}", flush=True)


main()
