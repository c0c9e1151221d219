"""One thing that Linux promises about TCP sockets, checked between two processes.

Both ends run this program with the same check. They make a connection and use it for a while (so
that it has its carrier); then `CHECK_server` and `CHECK_client` run against each other. A second
connection keeps them in step: `peer.tell()` on one side ends `peer.wait()` on the other. The same
checks run over kernel TCP, which says what is right.

usage: semantics.py server|client PORT CHECK
"""

import socket
import sys

import semantics_calls
import semantics_corners
import semantics_faults
import semantics_life
from semantics_tools import Peer, recv_all, recv_to_end

EXCHANGES = 1000
MODULES = (semantics_calls, semantics_corners, semantics_faults, semantics_life)
CHECKS = {name: check for module in MODULES for name, check in vars(module).items()}


def warm_up(sock, first):
    for _ in range(EXCHANGES):
        if first:
            sock.sendall(b"?")
        recv_all(sock, 1)
        if not first:
            sock.sendall(b"!")


def main():
    role, port, name = sys.argv[1:]
    if name == "list":
        print(" ".join(word[:-7] for word in CHECKS if word.endswith("_server")))
        return
    if role == "server":
        listener = socket.create_server(("127.0.0.1", int(port)))
        sock, control = listener.accept()[0], listener.accept()[0]
    else:
        sock = socket.create_connection(("127.0.0.1", int(port)))
        control = socket.create_connection(("127.0.0.1", int(port)))
    for each in (sock, control):
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    warm_up(sock, role == "client")
    peer = Peer(control)
    CHECKS[f"{name}_{role}"](sock, peer)
    # Nobody closes before both are done, except where closing is what is checked.
    control.shutdown(socket.SHUT_WR)
    recv_to_end(control)
    print("right")


main()
