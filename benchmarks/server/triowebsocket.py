"""A plain server on trio-websocket: `python -m benchmarks.server.triowebsocket PORT`."""

import sys
import time

import trio
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket

from webntpd.protocol.wire import SUBPROTOCOL, ReplyTemplate, parse_request

REPLY = ReplyTemplate("localhost", None, sync=True, max_error=0.0)


async def answer(request: WebSocketRequest) -> None:
    socket = await request.accept(subprotocol=SUBPROTOCOL)
    try:
        while True:
            message = await socket.get_message()
            arrived_ns = time.time_ns()
            reply = REPLY.render(parse_request(str(message)), time.time_ns(), arrived_ns)
            await socket.send_message(reply.decode())
    except ConnectionClosed:
        return


async def main(port: str) -> None:
    await serve_websocket(answer, "127.0.0.1", int(port), ssl_context=None)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
