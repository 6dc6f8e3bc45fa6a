"""The opening handshake of a WebSocket (RFC 6455 §4.2), which wsproto judges."""

import base64
import binascii
from dataclasses import dataclass
from http import HTTPStatus

import h11
import wsproto
from wsproto.events import AcceptConnection, RejectConnection
from wsproto.events import Request as Proposal
from wsproto.utilities import RemoteProtocolError

from webntpd.protocol.wire import INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL


@dataclass(frozen=True, slots=True)
class Accepted:
    """The reply that opens the WebSocket."""

    reply: bytes
    interleaved: bool


class RefusedError(Exception):
    """The client asked wrongly. `headers` go into the reply."""

    def __init__(
        self, status: HTTPStatus, reason: str, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers


def accept(request: h11.Request) -> Accepted:
    """Accept a client's proposal, or raise RefusedError."""
    keys = [value for name, value in request.headers if name == b"sec-websocket-key"]
    if keys and not (len(keys) == 1 and _is_nonce(keys[0])):
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64")
    handshake = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    try:
        handshake.initiate_upgrade_connection(list(request.headers), request.target)
        proposals = [event for event in handshake.events() if isinstance(event, Proposal)]
    except RemoteProtocolError as error:
        raise _refused(error) from error
    except UnicodeError as error:  # wsproto takes every header that it reads to be ASCII
        raise RefusedError(HTTPStatus.BAD_REQUEST, "a header is not ASCII") from error
    subprotocol = _choose([name for proposal in proposals for name in proposal.subprotocols])
    reply = handshake.send(AcceptConnection(subprotocol=subprotocol))
    return Accepted(reply, interleaved=subprotocol == INTERLEAVED_SUBPROTOCOL)


def _is_nonce(key: bytes) -> bool:
    """RFC 6455 §4.1: sixteen bytes, base64-encoded."""
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False


def _choose(offered: list[str]) -> str | None:
    """The best subprotocol that both sides speak.

    A client that offers none of them is served all the same, and gets none named (RFC 6455 §4.2.2).
    """
    for subprotocol in (INTERLEAVED_SUBPROTOCOL, SUBPROTOCOL):
        if subprotocol in offered:
            return subprotocol
    return None


def _refused(error: RemoteProtocolError) -> RefusedError:
    # Without a hint it is a bad request, RejectConnection's default.
    hint = (
        error.event_hint if isinstance(error.event_hint, RejectConnection) else RejectConnection()
    )
    headers = tuple((name.decode(), value.decode()) for name, value in hint.headers)
    return RefusedError(HTTPStatus(hint.status_code), str(error), headers)
