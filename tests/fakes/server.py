"""A server on loopback that does to each connection whatever a test's script says."""

import ssl
import time
from collections.abc import Awaitable, Callable

import trio
import wsproto
from wsproto.events import AcceptConnection, Request, TextMessage

from webntpd.ntp.readings import NS_PER_S

Script = Callable[["Visitor"], Awaitable[None]]


class Visitor:
    """One connection: `number` counts from 1. What the client sent is read up to a mark."""

    def __init__(self, server: "FakeServer", stream: trio.abc.Stream) -> None:
        self.server = server
        self.stream = stream
        self.number = server.connections
        self._unread = b""

    async def read_until(self, mark: bytes) -> bytes:
        while mark not in self._unread:
            data = await self.stream.receive_some()
            if not data:
                raise trio.BrokenResourceError("the client has gone")
            self._unread += data
        head, _, self._unread = self._unread.partition(mark)
        return head

    async def request(self) -> str:
        """The next request's header block; requests of this protocol have no body."""
        request = (await self.read_until(b"\r\n\r\n")).decode()
        self.server.requests.append(request)
        return request

    async def token(self) -> str:
        """The next GET's query."""
        return token_of(await self.request())

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def drip(self, data: bytes, interval: float = 0) -> None:
        """Send byte by byte."""
        for number in range(len(data)):
            await self.send(data[number : number + 1])
            await trio.sleep(interval)

    async def until_closed(self) -> None:
        """Wait for the client to close."""
        while await self.stream.receive_some():
            pass


class FakeServer:
    """Runs `script` for each connection, and closes it then. With `context` it speaks TLS."""

    def __init__(self, host: str, port: int) -> None:
        self.host = f"[{host}]" if ":" in host else host
        self.port = port
        self.connections = 0
        self.requests: list[str] = []

    def url(self, scheme: str, path: str = "/json", host: str | None = None) -> str:
        return f"{scheme}://{host or self.host}:{self.port}{path}"


async def serve(
    nursery: trio.Nursery,
    script: Script,
    *,
    host: str = "127.0.0.1",
    context: ssl.SSLContext | None = None,
) -> FakeServer:
    [listener] = await trio.open_tcp_listeners(0, host=host)
    server = FakeServer(host, listener.socket.getsockname()[1])

    async def visit(transport: trio.SocketStream) -> None:
        server.connections += 1
        stream: trio.abc.Stream = transport
        if context is not None:
            stream = trio.SSLStream(transport, context, server_side=True, https_compatible=True)
        try:
            await script(Visitor(server, stream))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has had enough: often what the test is about
        finally:
            transport.socket.close()

    await nursery.start(trio.serve_listeners, visit, [listener])
    return server


def token_of(request: str) -> str:
    return request.split(" ", 2)[1].partition("?")[2]


def seconds(ns: int) -> str:
    return f"{ns // NS_PER_S}.{ns % NS_PER_S:09d}"


def reply_json(token: str, /, **members: str) -> bytes:
    """A right reply of part 2, as of now; `members` replace or add raw JSON, "" takes away."""
    now = seconds(time.time_ns())
    everything = {"id": '"fake"', "it": token, "st": now, "time": now, "rt": now, "sync": "true"}
    everything |= members
    return b"{%s}" % ",".join(f'"{k}":{v}' for k, v in everything.items() if v).encode()


def http_response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def always_right(visitor: Visitor) -> None:
    """The script of a good HTTP server."""
    while True:
        await visitor.send(http_response(reply_json(await visitor.token())))


class FakeSocket:
    """The server's side of a WebSocket, frame by frame."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.protocol = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self.offered: list[str] = []

    async def event(self) -> wsproto.events.Event:
        while True:
            for event in self.protocol.events():
                return event
            data = await self.visitor.stream.receive_some()
            if not data:
                raise trio.BrokenResourceError("the client has gone")
            self.protocol.receive_data(bytes(data))

    async def accept(self, subprotocol: str | None = None) -> None:
        request = await self.event()
        assert isinstance(request, Request)
        self.offered = request.subprotocols
        await self.send(AcceptConnection(subprotocol=subprotocol))

    async def token(self) -> str:
        """The next message; other events are for scripts that ask for them."""
        while True:
            event = await self.event()
            if isinstance(event, TextMessage):
                return event.data
            if isinstance(event, wsproto.events.CloseConnection):
                await self.send(event.response())
                raise trio.BrokenResourceError("the client has said goodbye")

    def frame(self, event: wsproto.events.Event) -> bytes:
        return self.protocol.send(event)

    async def send(self, event: wsproto.events.Event) -> None:
        await self.visitor.send(self.frame(event))

    async def reply(self, body: bytes) -> None:
        await self.send(TextMessage(body.decode()))


def over_websocket(talk: Callable[[FakeSocket], Awaitable[None]]) -> Script:
    """A script that opens a WebSocket, and then talks over it."""

    async def script(visitor: Visitor) -> None:
        websocket = FakeSocket(visitor)
        await websocket.accept()
        await talk(websocket)

    return script


async def always_right_socket(visitor: Visitor) -> None:
    """The script of a good WebSocket server of part 1."""
    socket = FakeSocket(visitor)
    await socket.accept()
    while True:
        await socket.reply(reply_json(await socket.token()))
