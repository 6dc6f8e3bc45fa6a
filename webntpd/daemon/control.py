"""The control socket: one request, one reply, and nothing that a client can change.

A request is one line of JSON, {"view": NAME}. The reply is one JSON object: the view of that name
in views.VIEWS, or {"error": "..."}.
"""

import errno
import json
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import trio

from webntpd.sockets.callers import serve_callers
from webntpd.status.snapshot import Status
from webntpd.status.views import VIEWS

logger = logging.getLogger(__name__)

MODE = 0o660
REQUEST_SIZE = 1024
"""Bytes of a request, its newline among them."""
BACKLOG = 16


class ControlError(Exception):
    """A control socket that cannot be opened."""


async def serve_control(
    path: Path,
    snapshot: Callable[[], Status | None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer requests at `path` until cancelled. Raises ControlError if it cannot.

    `snapshot` gives the state as of now, None while there is none.
    """
    with listening_at(path) as listener:

        async def answer(stream: trio.SocketStream) -> None:
            request = await receive_request(stream)
            await stream.send_all(reply_to(request, snapshot()))

        task_status.started()
        await serve_callers([trio.SocketListener(trio.socket.from_stdlib_socket(listener))], answer)


async def receive_request(stream: trio.abc.ReceiveStream) -> bytes:
    """The bytes from the client up to the newline, the end, or REQUEST_SIZE."""
    received = b""
    while len(received) < REQUEST_SIZE and b"\n" not in received:
        chunk = await stream.receive_some(REQUEST_SIZE - len(received))
        if not chunk:
            break
        received += chunk
    return received


def reply_to(request: bytes, status: Status | None) -> bytes:
    """The reply to a request, as a line of JSON."""
    if status is None:
        return line({"error": "starting: there is nothing to show yet"})
    name = view_asked(request)
    if name is None:
        return line({"error": f'a request is {{"view": NAME}}, NAME one of {", ".join(VIEWS)}'})
    try:
        return line(VIEWS[name](status))
    except Exception:
        logger.exception("the view %s failed", name)
        return line({"error": f"the view {name} failed: the daemon's log tells why"})


def view_asked(request: bytes) -> str | None:
    """The name of the requested view; None if the request is invalid."""
    try:
        name = json.loads(request)["view"]
    # It is no JSON, JSON that is too deep, no object, or an object without a view.
    except (ValueError, RecursionError, TypeError, KeyError):
        return None
    return name if isinstance(name, str) and name in VIEWS else None


def line(reply: object) -> bytes:
    return json.dumps(reply).encode() + b"\n"


@contextmanager
def listening_at(path: Path) -> Iterator[socket.socket]:
    """A socket at `path`, which is removed in the end if it is still this one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_stale(path)
        listener = open_listener(path)
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}") from error
    with listener:
        ours = path.stat()
        try:
            yield listener
        finally:
            with suppress(OSError):
                if os.path.samestat(path.lstat(), ours):
                    path.unlink()


def open_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # The file is made with the socket's own mode less the umask: never too wide for a moment.
        os.fchmod(listener.fileno(), MODE)
        listener.bind(str(path))
        path.chmod(MODE)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def remove_stale(path: Path) -> None:
    """Remove the socket of a daemon that did not stop cleanly. Raises OSError if one answers."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "is there already, and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        except BlockingIOError as error:  # its backlog is full
            raise OSError(errno.EADDRINUSE, "another daemon has it") from error
        else:
            raise OSError(errno.EADDRINUSE, "another daemon has it")
