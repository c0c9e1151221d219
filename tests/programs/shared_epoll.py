"""One epoll instance, two processes: `shared_epoll.py server PORT HOW` or `shared_epoll.py client PORT`.

The server makes the instance, serves a connection with it and forks; then nothing happens for two
seconds, and the child has one exchange more. HOW:

  alone   the child waits, the parent does not
  both    parent and child wait
  killed  both wait, and the parent is killed before the exchange
  added   the connection is added by the parent after the fork; both wait

Each process that has waited prints how often it slept in these seconds, and what it was told.
"""

import os
import select
import signal
import socket
import sys
import time

# Enough for the connection to be on the ring, however late the monitor answers.
exchanges_before = 5000
idle_s = 2


def switches():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("voluntary_ctxt_switches"):
                return int(line.split()[1])


def wait_idle(who, instance):
    instance.poll(0)  # the first use, and what it takes
    before = switches()
    events = instance.poll(idle_s)
    print(who, "slept", switches() - before, "times, events", len(events), flush=True)


def serve(port, how):
    listener = socket.create_server(("127.0.0.1", port))
    connection, _ = listener.accept()
    instance = select.epoll()
    if how != "added":
        instance.register(connection, select.EPOLLIN)
    for _ in range(exchanges_before):
        if how != "added":
            instance.poll()
        connection.sendall(connection.recv(64))
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        if how != "alone":
            time.sleep(0.5)  # the parent falls asleep, most likely
        wait_idle("child", instance)
        if how == "killed":
            os.kill(parent, signal.SIGKILL)
        connection.sendall(b"question")
        events = instance.poll(20)
        print("child was told", [event for _, event in events], connection.recv(64), flush=True)
        os._exit(0)
    if how == "added":
        instance.register(connection, select.EPOLLIN)
    if how == "killed":
        instance.poll(60)
    elif how != "alone":
        wait_idle("parent", instance)
    print("child ended with", os.waitpid(child, 0)[1], flush=True)
    connection.close()


def use(port):
    connection = socket.create_connection(("127.0.0.1", port))
    for number in range(exchanges_before):
        connection.sendall(b"%8d" % number)
        connection.recv(64)
    while data := connection.recv(64):
        connection.sendall(b"answer")
    print("client is done")


serve(int(sys.argv[2]), sys.argv[3]) if sys.argv[1] == "server" else use(int(sys.argv[2]))
