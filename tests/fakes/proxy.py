"""An HTTP CONNECT proxy on loopback, and what it was asked."""

import trio

from tests.fakes.server import Script, Visitor, http_response


def tunnelling(*, to: tuple[str, int] | None = None, before: bytes = b"") -> Script:
    """Makes the tunnels it is asked for, and says `before` first; all lead `to` one place."""

    async def script(visitor: Visitor) -> None:
        target = (await visitor.request()).split(" ")[1]
        host, _, port = target.rpartition(":")
        upstream = await trio.open_tcp_stream(*(to or (host.strip("[]"), int(port))))
        await visitor.send(before + b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with upstream, trio.open_nursery() as nursery:
            nursery.start_soon(pump, visitor.stream, upstream, nursery.cancel_scope)
            nursery.start_soon(pump, upstream, visitor.stream, nursery.cancel_scope)

    return script


async def pump(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope) -> None:
    """Carry bytes until either end closes, which ends the whole tunnel."""
    try:
        while data := await source.receive_some():
            await sink.send_all(data)
    except trio.BrokenResourceError:
        pass
    scope.cancel()


def refusing(status: str, *headers: str) -> Script:
    async def script(visitor: Visitor) -> None:
        await visitor.request()
        await visitor.send(http_response(b"<html>no</html>", status, *headers))
        await visitor.until_closed()

    return script
