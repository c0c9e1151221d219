"""gRPC's Python library, whose core has an event engine of its own: calls and streams of messages of
many sizes, echoed and compared. Messages are plain bytes, so no compiler of protocols is needed.

usage: grpc_echo.py server PORT | grpc_echo.py client PORT CALLS
"""

import random
import sys
from concurrent import futures

import grpc

sizes = (0, 1, 100, 1000, 10_000, 200_000)


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == "/Echo/Call":
            return grpc.unary_unary_rpc_method_handler(lambda message, _: message)
        if details.method == "/Echo/Stream":
            return grpc.stream_stream_rpc_method_handler(lambda messages, _: messages)
        return None


def serve(port):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


def messages(seed, count):
    numbers = random.Random(seed)
    return [numbers.randbytes(numbers.choice(sizes)) for _ in range(count)]


def ask(port, calls):
    # A proxy in the environment, and a connection shared with another channel, are not wanted.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    right = 0
    for seed in range(2):
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            call = channel.unary_unary("/Echo/Call")
            for message in messages(seed, calls):
                if call(message, timeout=30) != message:
                    sys.exit(f"the echo of {len(message)} bytes differs")
                right += 1
            sent = messages(seed + 100, calls)
            got = list(channel.stream_stream("/Echo/Stream")(iter(sent), timeout=60))
            if got != sent:
                sys.exit("the stream's echo differs")
            right += len(got)
    print(f"{right} echoes right")


def main():
    role, port, *rest = sys.argv[1:]
    if role == "server":
        serve(int(port))
    else:
        ask(int(port), int(rest[0]))


main()
