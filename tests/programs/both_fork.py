"""Both ends fork before either child has used the connection: `both_fork.py server|client PORT`.

The children then find each other asleep on the ring; each prints one line when its work is done.
"""

import os
import socket
import sys
import time

# Enough for the connection to be on the ring, however late the monitor answers.
exchanges_before = 5000
exchanges = 50


def in_child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def serve(port):
    listener = socket.create_server(("127.0.0.1", port))
    connection, _ = listener.accept()
    for _ in range(exchanges_before):
        connection.sendall(connection.recv(64))

    def echo():
        time.sleep(0.7)  # the other side forks, and its child falls asleep, meanwhile
        while data := connection.recv(64):
            connection.sendall(data)

    status = in_child(echo)
    print("server's child ended with", status)


def use(port):
    connection = socket.create_connection(("127.0.0.1", port))

    def talk(count=exchanges):
        for number in range(count):
            message = b"%8d" % number
            connection.sendall(message)
            answer = connection.recv(64)
            assert answer == message, (answer, message)

    talk(exchanges_before)
    time.sleep(0.2)  # the server forks
    status = in_child(talk)
    connection.close()
    print("client's child ended with", status)


serve(int(sys.argv[2])) if sys.argv[1] == "server" else use(int(sys.argv[2]))
