"""Many connections in one asyncio loop: requests of random sizes, each echoed and compared.

usage: many.py server PORT | many.py client PORT CONNECTIONS REQUESTS
"""

import asyncio
import random
import sys


async def serve(port):
    async def echo(reader, writer):
        while head := await reader.read(4):
            while len(head) < 4:
                head += await reader.readexactly(4 - len(head))
            body = await reader.readexactly(int.from_bytes(head, "big"))
            writer.write(head + body)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", port, backlog=1000)
    async with server:
        await server.serve_forever()


async def ask(port, seed, requests):
    numbers = random.Random(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        body = numbers.randbytes(numbers.choice((1, 10, 100, 1000, 10_000)))
        request = len(body).to_bytes(4, "big") + body
        writer.write(request)
        await writer.drain()
        if await reader.readexactly(len(request)) != request:
            sys.exit(f"connection {seed}: the echo differs")
    writer.close()
    await writer.wait_closed()
    return requests


async def ask_all(port, connections, requests):
    done = await asyncio.gather(*(ask(port, seed, requests) for seed in range(connections)))
    print(f"{sum(done)} echoes right")


def main():
    role, port, *rest = sys.argv[1:]
    if role == "server":
        asyncio.run(serve(int(port)))
    else:
        asyncio.run(ask_all(int(port), int(rest[0]), int(rest[1])))


main()
