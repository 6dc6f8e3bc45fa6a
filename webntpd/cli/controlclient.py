"""Asks a running daemon. It imports next to nothing: `webntpd status` must answer at once."""

import json
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from webntpd.names import CONTROL_VARIABLE, DEFAULT_CONTROL

TIMEOUT = 10.0
"""More than the daemon allows for a request, s: one that says nothing for so long is stuck."""
PATIENCE = 10.0
"""How long to retry while the daemon closes our connection, s: a silent client has less time."""
PAUSE = 0.1
CHUNK = 65536


class NotRunningError(Exception):
    """No daemon listens there."""


class AskError(Exception):
    """A daemon could not be asked, or did not answer as it should."""


def socket_path(given: Path | None) -> Path:
    """The control socket: the given path, else the environment's, else the default."""
    return given or Path(os.environ.get(CONTROL_VARIABLE) or DEFAULT_CONTROL)


def request_view(path: Path, view: str) -> dict[str, Any]:
    """The reply to a request for a view. Raises NotRunningError and AskError."""
    try:
        answer = _exchange(path, json.dumps({"view": view}).encode() + b"\n")
        reply: dict[str, Any] = json.loads(answer)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunningError(f"the daemon is not running: nobody listens at {path}") from error
    except PermissionError as error:
        message = f"no permission to ask at {path}: only root and the socket's group may"
        raise AskError(message) from error
    except (OSError, ValueError) as error:
        raise AskError(f"no answer from {path}: {error}") from error
    if "error" in reply:
        raise AskError(f"{path}: {reply['error']}")
    return reply


def _exchange(path: Path, request: bytes) -> bytes:
    """The reply, or b"" if the daemon closed the connection: it has too many clients."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            if answer := _try_exchange(path, request):
                return answer
        time.sleep(PAUSE)
    raise TimeoutError("it hangs up, as when too many ask at once")


def _try_exchange(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(path))
        connection.sendall(request)
        received = bytearray()
        while chunk := connection.recv(CHUNK):
            received += chunk
        return bytes(received)
