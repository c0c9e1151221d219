"""A control socket that takes connections and never says a word.

usage: mute.py stream|seqpacket PATH
"""

import signal
import socket
import sys

kind = {"stream": socket.SOCK_STREAM, "seqpacket": socket.SOCK_SEQPACKET}[sys.argv[1]]
with socket.socket(socket.AF_UNIX, kind) as listener:
    listener.bind(sys.argv[2])
    listener.listen(5)
    print("listening", flush=True)
    signal.pause()
