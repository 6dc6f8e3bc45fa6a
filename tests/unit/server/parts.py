"""What the server's tests share: a clock that tells how often it was read, and a context on it."""

from dataclasses import dataclass, field

import h11

from webntpd.clock.adjtime import ClockState
from webntpd.leap.list import LeapList
from webntpd.ntp.readings import NS_PER_S
from webntpd.server.admission import Admission, Caller
from webntpd.server.clients import Clients
from webntpd.server.connection import Connection
from webntpd.server.context import Context
from webntpd.server.counters import Counters
from webntpd.server.crossorigin import CrossOrigin
from webntpd.server.parameters import Limits
from webntpd.server.timesource import TimeSource

T0 = 1_489_224_472 * NS_PER_S
"""The wall clock at the start of a test, whole seconds."""
TICK_NS = 1_000_000


class TickingClock:
    """A clock that goes on by a millisecond each time it is read."""

    precision = 1e-9
    shift_ns = 0
    slew = 0.0

    def __init__(self, start_ns: int = T0) -> None:
        self.wall_ns = start_ns

    def realtime_ns(self) -> int:
        self.wall_ns += TICK_NS
        return self.wall_ns

    def raw_ns(self) -> int:
        return self.wall_ns

    def monotonic_ns(self) -> int:
        return self.wall_ns

    def boottime_ns(self) -> int:
        return self.wall_ns


@dataclass
class Answer:
    """A reply as h11's client side reads it."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Parts:
    """A context whose state a test may change."""

    allow_cross_origin: bool | tuple[str, ...] = False
    state: ClockState = field(default_factory=lambda: ClockState(True, 0.001))
    leap_list: LeapList | None = None
    clock: TickingClock = field(default_factory=TickingClock)
    monotonic_ns: int = 0
    counters: Counters = field(default_factory=Counters)
    fast_paths: bool = True
    require_sync: bool = False
    limits: Limits = field(default_factory=Limits)

    def context(self) -> Context:
        time = TimeSource(
            self.clock,
            lambda: self.leap_list,
            lambda: self.state,
            require_sync=self.require_sync,
        )
        return Context(
            time,
            CrossOrigin(self.allow_cross_origin),
            self.limits,
            self.counters,
            fast_paths=self.fast_paths,
        )

    def caller(self, host: str = "127.0.0.1", *proxies: str) -> Caller:
        return Admission(Clients(self.limits, lambda: self.monotonic_ns), proxies).caller(host)

    def connection(self) -> Connection:
        return Connection(self.context(), self.caller())


def answers(output: bytes, *methods: str) -> list[Answer]:
    """The replies in `output` to requests of those methods, one GET by default."""
    client = h11.Connection(h11.CLIENT)
    client.receive_data(output)
    found: list[Answer] = []
    for method in methods or ("GET",):
        client.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        client.send(h11.EndOfMessage())
        while not isinstance(event := client.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                headers = {name.decode(): value.decode() for name, value in event.headers}
                found.append(Answer(event.status_code, headers))
            elif isinstance(event, h11.Data):
                found[-1].body += bytes(event.data)
            else:
                assert isinstance(event, h11.InformationalResponse), event
        if client.our_state is h11.DONE and client.their_state is h11.DONE:
            client.start_next_cycle()
    assert not client.trailing_data[0], "more than the replies that were asked for"
    return found


def answer(output: bytes, method: str = "GET") -> Answer:
    """The one reply in `output`."""
    (found,) = answers(output, method)
    return found
