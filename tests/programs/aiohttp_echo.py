"""aiohttp both ways: bodies of many sizes are posted, echoed and compared.

usage: aiohttp_echo.py server PORT | aiohttp_echo.py client PORT SESSIONS REQUESTS
"""

import asyncio
import random
import sys

import aiohttp
from aiohttp import web

sizes = (0, 1, 100, 1000, 10_000, 200_000)


async def echo(request):
    return web.Response(body=await request.read())


def serve(port):
    app = web.Application(client_max_size=1_000_000)
    app.router.add_post("/", echo)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


async def ask(session, port, seed, requests):
    numbers = random.Random(seed)
    for _ in range(requests):
        body = numbers.randbytes(numbers.choice(sizes))
        async with session.post(f"http://127.0.0.1:{port}/", data=body) as answer:
            if answer.status != 200 or await answer.read() != body:
                sys.exit(f"client {seed}: the echo of {len(body)} bytes differs")
    return requests


async def ask_all(port, clients, requests):
    async with aiohttp.ClientSession() as session:
        done = await asyncio.gather(*(ask(session, port, seed, requests) for seed in range(clients)))
    print(f"{sum(done)} echoes right")


def main():
    role, port, *rest = sys.argv[1:]
    if role == "server":
        serve(int(port))
    else:
        asyncio.run(ask_all(int(port), int(rest[0]), int(rest[1])))


main()
