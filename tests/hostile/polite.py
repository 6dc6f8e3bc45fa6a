"""The client whose answers count: it asks once a second in each of four ways."""

import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from tests.hostile.arena import HTTP, HTTPS, POLITE, SERVER, connect

PERIOD = 1.0
PATIENCE = 5.0
"""An answer that takes longer has failed, s."""
MAX_ERROR = 0.5
"""Most difference of an answer's time from the clock that server and client share, s. The time that
the answer took is added."""


class Wrong(Exception):  # noqa: N818  # not an error of the program's
    """An answer that is wrong."""


@dataclass
class Record:
    """The outcome of one way to ask; latencies in seconds."""

    latencies: list[float] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    @property
    def asked(self) -> int:
        return len(self.latencies) + self.failed

    def percentile(self, share: float) -> float | None:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def figures(self) -> dict[str, object]:
        return {
            "asked": self.asked,
            "answered": len(self.latencies),
            "failures": self.failures,
            "p50_ms": _ms(self.percentile(0.5)),
            "p99_ms": _ms(self.percentile(0.99)),
            "max_ms": _ms(self.percentile(1.0)),
        }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 2)


class Polite:
    """Runs until `stop()`; `records` has the outcome of each way, by scheme."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._stopped = threading.Event()
        self.records = {scheme: Record() for scheme in ("http", "https", "ws", "wss")}
        ways: dict[str, Callable[[], None]] = {
            "http": lambda: ask_once(HTTP, None),
            "https": lambda: ask_once(HTTPS, context),
            "ws": Kept(HTTP, None).ask,
            "wss": Kept(HTTPS, context).ask,
        }
        self._threads = [
            threading.Thread(target=self._poll, args=(self.records[scheme], ask), daemon=True)
            for scheme, ask in ways.items()
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE)

    def _poll(self, record: Record, ask: Callable[[], None]) -> None:
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due = max(due + PERIOD, time.monotonic())
            began = time.perf_counter()
            try:
                ask()
            except (OSError, http.client.HTTPException, Wrong) as error:
                name = str(error) if isinstance(error, Wrong) else type(error).__name__
                record.failures[name] = record.failures.get(name, 0) + 1
            else:
                record.latencies.append(time.perf_counter() - began)


def dial(port: int, context: ssl.SSLContext | None) -> socket.socket:
    connection = connect(POLITE, port, timeout=PATIENCE)
    if context is None:
        return connection
    try:
        return context.wrap_socket(connection, server_hostname="localhost")
    except BaseException:
        connection.close()
        raise


def check(body: bytes | str, token: str, began: float) -> None:
    try:
        answer = json.loads(body)
        echoed, told = str(answer["it"]), float(answer["st"])
    except (ValueError, KeyError, TypeError) as error:
        raise Wrong("not an answer") from error
    if float(echoed) != float(token):
        raise Wrong("another's answer")
    if not began - MAX_ERROR <= told <= time.time() + MAX_ERROR:
        raise Wrong("a wrong time")


def ask_once(port: int, context: ssl.SSLContext | None) -> None:
    """A connection of its own for one request."""
    began = time.time()
    token = f"{began:.6f}"
    client = http.client.HTTPConnection(SERVER, port)
    try:
        client.sock = dial(port, context)
        client.request("GET", f"/json?{token}", headers={"User-Agent": "polite"})
        response = client.getresponse()
        body = response.read()
    finally:
        client.close()
    if response.status != 200:
        raise Wrong(f"status {response.status}")
    check(body, token, began)


class Kept:
    """A WebSocket that is kept open. One that has failed is opened anew at the next question."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._port = port
        self._context = context
        self._socket: socket.socket | None = None
        self._protocol = WSConnection(ConnectionType.CLIENT)

    def ask(self) -> None:
        try:
            if self._socket is None:
                self._open()
            began = time.time()
            token = f"{began:.6f}"
            self._send(TextMessage(token))
            check(self._answer(), token, began)
        except BaseException:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            raise

    def _open(self) -> None:
        self._socket = dial(self._port, self._context)
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._send(Request(host=f"[{SERVER}]", target="/"))
        self._answer(AcceptConnection)

    def _send(self, event: TextMessage | Request | Ping) -> None:
        assert self._socket is not None
        self._socket.sendall(self._protocol.send(event))

    def _answer(self, wanted: type = TextMessage) -> str:
        assert self._socket is not None
        text = ""
        while True:
            for event in self._protocol.events():
                if isinstance(event, CloseConnection):
                    raise Wrong(f"closed with {event.code}")
                if isinstance(event, TextMessage):
                    text += event.data
                if isinstance(event, wanted) and getattr(event, "message_finished", True):
                    return text
            data = self._socket.recv(65536)
            if not data:
                raise Wrong("hung up")
            self._protocol.receive_data(data)
