"""A peer that rings cannot wake: `slow_reader.py server PORT | client PORT EXCHANGES`.

The server takes all descriptors away from itself, once the connection is on the ring, and then waits
by a new epoll instance: nothing is left for a doorbell, so the library looks at its rings every
millisecond (with SOCKSDIRECT_PROFILE=frugal, and a cpu for each of the two; else it may watch them); kernel TCP
wakes it at once.
The client prints the median exchange, in microseconds, of each tenth of its work.
"""

import os
import resource
import select
import socket
import sys
import time

exchanges_before = 50
message = b"slow?..."


def run_on(place):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[place % len(cpus)]})


def serve(port):
    run_on(0)
    listener = socket.create_server(("127.0.0.1", port))
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(exchanges_before):
        connection.sendall(connection.recv(64))
    instance = select.epoll()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    instance.register(connection, select.EPOLLIN)
    while instance.poll() and (data := connection.recv(64)):
        connection.sendall(data)


def use(port, exchanges):
    run_on(1)
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange():
        start = time.perf_counter()
        connection.sendall(message)
        answer = connection.recv(64)
        assert answer == message, answer
        return time.perf_counter() - start

    for _ in range(exchanges_before):
        exchange()
    medians = []
    for _ in range(10):
        times = sorted(exchange() for _ in range(exchanges // 10))
        medians.append(round(1e6 * times[len(times) // 2], 1))
    connection.close()
    print(*medians)


serve(int(sys.argv[2])) if sys.argv[1] == "server" else use(int(sys.argv[2]), int(sys.argv[3]))
