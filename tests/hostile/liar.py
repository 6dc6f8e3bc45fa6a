"""Servers that abuse the daemon as their client: `python -m tests.hostile.liar`.

Each connection gets the next misdeed of its list. Counts go to standard output as abuse.py's do.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from itertools import cycle

import trio
from wsproto.events import BytesMessage, Ping, Pong, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from tests.fakes.server import FakeServer, FakeSocket, Visitor, http_response, reply_json, seconds
from tests.hostile.abuse import NICE, Counts
from tests.hostile.arena import LIAR_HTTP, LIAR_WS
from webntpd.ntp.readings import NS_PER_S

LIE_NS = 10 * NS_PER_S
ENOUGH = 30.0
"""Duration of a misdeed that the daemon tolerates, s."""


def lie(token: str) -> bytes:
    """A reply that is right in everything but the time."""
    wrong = seconds(time.time_ns() + LIE_NS)
    return reply_json(token, st=wrong, time=wrong, rt=wrong)


# Over a WebSocket


async def pongs(socket: FakeSocket) -> None:
    await _flood(socket, socket.frame(Pong(b"x" * 100)) * 500)


async def pings(socket: FakeSocket) -> None:
    await _flood(socket, socket.frame(Ping(b"x" * 100)) * 500)


async def _flood(socket: FakeSocket, frames: bytes) -> None:
    """Answer rightly, and send those frames in between without end."""
    async with trio.open_nursery() as nursery:
        answered = trio.Lock()

        async def flood() -> None:
            while True:
                async with answered:
                    await socket.visitor.send(frames)

        nursery.start_soon(flood)
        while True:
            token = await socket.token()
            async with answered:
                await socket.reply(reply_json(token))


async def lies(socket: FakeSocket) -> None:
    while True:
        await socket.reply(lie(await socket.token()))


async def forgets_to_echo(socket: FakeSocket) -> None:
    await socket.reply(reply_json(await socket.token()))
    while True:
        await socket.token()
        await socket.reply(lie("0"))


async def drips(socket: FakeSocket) -> None:
    token = await socket.token()
    await socket.visitor.drip(socket.frame(TextMessage(reply_json(token).decode())), 0.1)


async def answers_much(socket: FakeSocket) -> None:
    token = await socket.token()
    for _ in range(1000):
        await socket.reply(reply_json(token))


async def sends_megabytes(socket: FakeSocket) -> None:
    await socket.token()
    for _ in range(100):
        await socket.send(BytesMessage(b"x" * 65536, message_finished=False))


async def sends_no_frames(socket: FakeSocket) -> None:
    await socket.token()
    await socket.visitor.send(b"\xff" * 10_000)


async def hangs_up(socket: FakeSocket) -> None:
    await socket.token()


# Over HTTP


async def lies_by_http(visitor: Visitor) -> None:
    while True:
        await visitor.send(http_response(lie(await visitor.token())))


async def drips_headers(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await visitor.drip(b"X-Drip: 1\r\n", 0.05)


async def heads_without_end(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(b"HTTP/1.1 200 OK\r\n")
    while True:
        await visitor.send(b"X-Many: 1\r\n" * 1000)


async def informs_without_end(visitor: Visitor) -> None:
    await visitor.request()
    while True:
        await visitor.send(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)


async def body_without_end(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await visitor.send(b"1\r\nx\r\n" * 1000)


async def redirects(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(http_response(b"", "302 Found", "Location: http://[::1]:1/\x01\x02"))


async def nonsense(visitor: Visitor) -> None:
    await visitor.request()
    await visitor.send(os.urandom(1000))


SOCKET_MISDEEDS = (
    pongs, pings, lies, forgets_to_echo, drips, answers_much, sends_megabytes, sends_no_frames,
    hangs_up,
)  # fmt: skip
HTTP_MISDEEDS = (
    lies_by_http, drips_headers, heads_without_end, informs_without_end, body_without_end,
    redirects, nonsense,
)  # fmt: skip


async def serve(port: int, visit: Callable[[Visitor], Awaitable[None]], counts: Counts) -> None:
    server = FakeServer("127.0.0.1", port)

    async def handle(stream: trio.SocketStream) -> None:
        counts.acts += 1
        server.requests.clear()
        visitor = Visitor(server, stream)
        try:
            with trio.move_on_after(ENOUGH):
                await visit(visitor)
        except* (
            trio.BrokenResourceError,
            trio.ClosedResourceError,
            LocalProtocolError,
            RemoteProtocolError,
        ):
            pass  # the daemon has had enough
        finally:
            stream.socket.close()

    await trio.serve_tcp(handle, port, host=server.host)


async def run() -> None:
    counts = Counts()
    socket_misdeeds, http_misdeeds = cycle(SOCKET_MISDEEDS), cycle(HTTP_MISDEEDS)

    async def by_socket(visitor: Visitor) -> None:
        socket = FakeSocket(visitor)
        await socket.accept()
        await next(socket_misdeeds)(socket)

    async def by_http(visitor: Visitor) -> None:
        await next(http_misdeeds)(visitor)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, LIAR_WS, by_socket, counts)
        nursery.start_soon(serve, LIAR_HTTP, by_http, counts)
        while True:
            await trio.sleep(1)
            print(json.dumps(asdict(counts)), flush=True)


if __name__ == "__main__":
    os.nice(NICE)
    trio.run(run)
