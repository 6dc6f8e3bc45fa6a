"""The listener that Prometheus scrapes: GET /metrics, one request a connection.

A scrape is made of one snapshot and without a pause, so its values belong together, whatever is
being reloaded meanwhile. Making it takes the loop that the peers need as well: hence one at a time,
and a rest between two.
"""

import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple

import h11
import trio

from webntpd.sockets.callers import serve_callers
from webntpd.sockets.listeners import listen
from webntpd.status.snapshot import Status

logger = logging.getLogger(__name__)

PATH = "/metrics"
REQUEST_SIZE = 8192
"""The largest request line with its headers, bytes."""
REST = 0.02
"""Rest before each scrape, s. It leaves most of the processor to other tasks."""


class HttpResponse(NamedTuple):
    """A reply without the headers that every reply has."""

    status: HTTPStatus
    body: bytes
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "text/plain; charset=utf-8"),)


Scrape = Callable[[str], Awaitable[HttpResponse]]
"""Makes the reply for an Accept header."""


async def serve_metrics(
    address: str,
    snapshot: Callable[[], Status | None],
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer scrapes at "host:port" until cancelled. Raises ListenError if it cannot listen there.

    `snapshot` gives the state as of now, None while there is none. Reports the address.
    """
    # Imported here: prometheus_client takes memory and time that only a scraped daemon should pay.
    from webntpd.daemon.processmetrics import Process  # noqa: PLC0415
    from webntpd.status.prometheus import rendered  # noqa: PLC0415

    turn = trio.Lock()

    async def scrape(accept: str) -> HttpResponse:
        async with turn:
            await trio.sleep(REST)
        status = snapshot()
        if status is None:
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "there is nothing to show yet")
        body, content_type = rendered(status, accept, Process())
        return HttpResponse(HTTPStatus.OK, body, (("Content-Type", content_type),))

    async def handler(stream: trio.SocketStream) -> None:
        await answer(stream, scrape)

    listeners = await listen((address,))
    logger.info("metrics at http://%s%s", listeners[0].address, PATH)
    task_status.started(listeners[0].address)
    sockets = (trio.socket.from_stdlib_socket(each.socket) for each in listeners)
    await serve_callers(map(trio.SocketListener, sockets), handler)


async def answer(stream: trio.abc.Stream, scrape: Scrape) -> None:
    """Answer one request. A client that sends none gets no reply."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_SIZE)
    request = None
    try:
        request = await receive_request(connection, stream)
        if request is None:
            return
        reply = refusal_of(request) or await scrape(accept_of(request))
    except h11.RemoteProtocolError as error:
        reply = refusal(HTTPStatus(error.error_status_hint), str(error))
    except ValueError:  # h11 0.14: a Content-Length of thousands of digits
        reply = refusal(HTTPStatus.BAD_REQUEST, "bad Content-Length")
    head = request is not None and request.method == b"HEAD"
    await stream.send_all(encoded(connection, reply, head=head))


async def receive_request(
    connection: h11.Connection, stream: trio.abc.ReceiveStream
) -> h11.Request | None:
    """The request without its body; None if the client left without a request."""
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(bytes(await stream.receive_some(REQUEST_SIZE)))
    return event if isinstance(event, h11.Request) else None


def refusal_of(request: h11.Request) -> HttpResponse | None:
    """The reply that refuses a request which h11 accepts; None if the request is a scrape."""
    if request.target.partition(b"?")[0] != PATH.encode():
        return refusal(HTTPStatus.NOT_FOUND, f"the metrics are at {PATH}")
    if request.method not in {b"GET", b"HEAD"}:
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED, "GET it", ("Allow", "GET, HEAD"))
    return None


def refusal(status: HTTPStatus, reason: str, *headers: tuple[str, str]) -> HttpResponse:
    plain = HttpResponse(status, f"{status.value} {status.phrase}: {reason}\n".encode())
    return plain._replace(headers=plain.headers + headers)


def accept_of(request: h11.Request) -> str:
    """The value of Accept; several headers count as one (RFC 9110 §5.3)."""
    return ",".join(value.decode("latin-1") for name, value in request.headers if name == b"accept")


def encoded(connection: h11.Connection, reply: HttpResponse, *, head: bool) -> bytes:
    """The bytes of the only reply on a connection. A reply to HEAD has no body."""
    response = h11.Response(
        status_code=reply.status,
        reason=reply.status.phrase.encode(),
        headers=[
            *reply.headers,
            ("Content-Length", str(len(reply.body))),
            ("Date", formatdate(usegmt=True)),
            ("Connection", "close"),
        ],
    )
    body = h11.Data(data=b"" if head else reply.body)
    parts = map(connection.send, (response, body, h11.EndOfMessage()))
    return b"".join(part or b"" for part in parts)
