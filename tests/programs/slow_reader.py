"""A peer that rings cannot wake: `slow_reader.py server PORT | client PORT EXCHANGES`.

The server's parent makes an epoll instance with the connection in it, and its forked child waits on
it. Such an instance is shared between processes, so the library looks at its rings every
millisecond; kernel TCP wakes it at once. The client prints the median exchange, in microseconds, of
each tenth of its work.
"""

import os
import select
import socket
import sys
import time

exchanges_before_fork = 50
message = b"slow?..."


def serve(port):
    listener = socket.create_server(("127.0.0.1", port))
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(exchanges_before_fork):
        connection.sendall(connection.recv(64))
    instance = select.epoll()
    instance.register(connection, select.EPOLLIN)
    instance.poll()
    connection.sendall(connection.recv(64))
    if os.fork() == 0:
        while instance.poll() and (data := connection.recv(64)):
            connection.sendall(data)
        os._exit(0)
    connection.close()
    os.wait()


def use(port, exchanges):
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange():
        start = time.perf_counter()
        connection.sendall(message)
        answer = connection.recv(64)
        assert answer == message, answer
        return time.perf_counter() - start

    for _ in range(exchanges_before_fork + 1):
        exchange()
    medians = []
    for _ in range(10):
        times = sorted(exchange() for _ in range(exchanges // 10))
        medians.append(round(1e6 * times[len(times) // 2], 1))
    connection.close()
    print(*medians)


serve(int(sys.argv[2])) if sys.argv[1] == "server" else use(int(sys.argv[2]), int(sys.argv[3]))
