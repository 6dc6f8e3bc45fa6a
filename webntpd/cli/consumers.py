"""The lines with which chrony, NTPsec, ntpd or ntpd-rs reads the outputs of this configuration.

The lines were tried with each of these programs; a comment beside each option gives its reason.
The error of the samples comes from the status of a running daemon; without one it is a guess.
"""

import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context
from typing import Any

from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.names import Consumer
from webntpd.refclock.base import ShmParameters, SockParameters

TYPICAL_DELAY = 0.05
"""A round trip to a server on the internet, s: half of it is part of chrony's error bound."""
TYPICAL_ERROR = 1e-3
"""The error that the asymmetry of such a round trip leaves, s."""
LEAST_PRECISION = 1e-6
"""chrony's own precision of reading a clock, s; a sample of ours is no better."""
DEFAULT_POLLS = (4, 6)
"""log2 s, while there is no peer yet."""
CHRONY_POLL = 4
"""log2 s: chrony needs a few polls before it follows a refclock, which is 47 s at this poll."""
MAX_CHRONY_POLL = 6
"""log2 s: chrony extrapolates from poll to poll, and the farther, the worse."""
REACHABLE_POLLS = 2
"""log2 of the polls within which a sample must come, with room for one that is lost."""
LEAST_NTPD_POLL = 3
"""Shortest poll of ntpd for a refclock, log2 s."""
MAX_NTPD_POLL = 17
"""Longest poll of ntpd for a refclock, log2 s."""
LEAST_NTPD_RS_PRECISION = 5e-3
"""s: ntpd-rs takes a sample's time of arrival for that of its measurement."""
NTPD_RS_PRECISION_SINCE = (1, 5)
"""The version of ntpd-rs from which on `precision` is its key, and the older one is deprecated."""
NTPD_RS_SOCK = "/run/ntpd-rs/webntpd.sock"
"""The path that the drop-in for ntpd-rs.service hands over."""
SPEAKING = ("survivor", "system_peer")
"""The tallies of the peers that the published offset is made of."""

_TWO_DIGITS_UP = Context(prec=2, rounding=ROUND_CEILING)

Version = tuple[int, ...]


class ConsumerError(Exception):
    """The consumer can read none of the outputs; the text says what it could read."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The error of samples, as a running daemon measures it, s.

    `error` bounds a sample's error, `jitter` is its typical error, `delay` the typical round trip
    to the primary clocks.
    """

    error: float
    jitter: float
    delay: float


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts besides the configuration that the lines depend on.

    `combined` is of the combined offset, `peers` of single peers by their names. `source` says
    where they come from, and `why_none` why some are missing. `ntpd_rs` is the version that is
    installed on this machine, None without one.
    """

    combined: Measured | None = None
    peers: Mapping[str, Measured] = field(default_factory=dict)
    source: str = "the running daemon"
    why_none: str = "the daemon has no estimate yet"
    ntpd_rs: Version | None = None


@dataclass(frozen=True, slots=True)
class ConsumerSource:
    """One of our outputs as a time source of the consumer. Polls are in log2 s, the rest in s.

    `chrony_poll` is how often chrony looks for a sample, `ntpd_poll` how often ntpd and NTPsec do.
    `basis` says what `delay` and `precision` are based on.
    """

    spec: RefclockSpec
    refid: str
    chrony_poll: int
    ntpd_poll: int
    delay: float
    precision: float
    basis: str
    ntpd_rs: Version | None = None


HEADINGS = {
    Consumer.CHRONY: "/etc/chrony/conf.d/webntpd.conf",
    Consumer.NTPSEC: "/etc/ntpsec/ntp.conf",
    Consumer.NTPD: "/etc/ntp.conf",
    Consumer.NTPD_RS: "/etc/ntpd-rs/ntp.toml",
}
"""The file that the lines belong to, on Debian."""


def consumer_lines(config: Config, consumer: Consumer, facts: Facts) -> list[str]:
    """The lines for the consumer's configuration. Raises ConsumerError if no output suits it."""
    lines = [f"# {HEADINGS[consumer]}"]
    writer = WRITERS[consumer]
    usable = False
    for source in consumer_sources(config, facts):
        written = list(writer(source))
        usable = usable or bool(written)
        if source.spec.peer is not None and written:
            lines.append(f"# what {source.spec.peer} measures")
        lines += written or [f"# {consumer} cannot read {name(source)}"]
    if not usable:
        raise ConsumerError(f"no [[refclock]] suits {consumer}: it needs {NEEDS[consumer]}")
    return [*lines, *FOOTERS.get(consumer, ())]


def measurements(status: Mapping[str, Any]) -> tuple[Measured | None, dict[str, Measured]]:
    """The errors of the combined offset and of each peer, from a status as in docs/status.md.

    An estimate that lacks a member, as in the status of another version, counts as none.
    """
    peers: dict[str, Measured] = {}
    speaking: list[float] = []
    for peer in status.get("peers", ()):
        estimate = peer.get("estimate") or {}
        if not {"error", "jitter", "delay"} <= estimate.keys():
            continue
        delay = estimate["delay"] + estimate.get("root_delay", 0.0)
        peers[peer["name"]] = Measured(estimate["error"], estimate["jitter"], delay)
        if peer.get("tally") in SPEAKING:
            speaking.append(delay)
    combined = status.get("system", {}).get("estimate") or {}
    if not speaking or not {"error", "jitter"} <= combined.keys():
        return None, peers
    return Measured(combined["error"], combined["jitter"], statistics.median(speaking)), peers


def consumer_sources(config: Config, facts: Facts) -> Iterator[ConsumerSource]:
    """The configured outputs as time sources of their consumer."""
    for number, spec in enumerate(config.refclocks, start=1):
        peers = [peer for peer in config.peers if feeds(peer, spec)]
        measured = facts.combined if spec.peer is None else facts.peers.get(spec.peer)
        if measured is not None:
            delay, precision = bounds(measured)
            basis = f"measured by {facts.source}: {shown(measured)}"
        else:
            delay = TYPICAL_DELAY + max((peer.peer.root_delay for peer in peers), default=0.0)
            precision = max([TYPICAL_ERROR, *(peer.peer.root_dispersion for peer in peers)])
            basis = f"guessed: {facts.why_none}"
        yield ConsumerSource(
            spec=spec,
            refid=refid(number),
            chrony_poll=chrony_poll(peers),
            ntpd_poll=ntpd_poll(peers),
            delay=delay,
            precision=precision,
            basis=basis,
            ntpd_rs=facts.ntpd_rs,
        )


def bounds(measured: Measured) -> tuple[float, float]:
    """A consumer's `delay` and `precision`, s, rounded up.

    chrony bounds the error of a sample by delay / 2 + precision: that must not be less than ours.
    """
    precision = rounded_up(max(measured.jitter, LEAST_PRECISION))
    return rounded_up(max(measured.delay, 2 * (measured.error - precision), 0.0)), precision


def rounded_up(value: float) -> float:
    """The next number of two digits."""
    return float(_TWO_DIGITS_UP.create_decimal(repr(value)))


def shown(measured: Measured) -> str:
    error, jitter, delay = map(rounded_up, (measured.error, measured.jitter, measured.delay))
    return f"error below {error:g} s, jitter {jitter:g} s, round trip {delay:g} s"


def chrony_poll(peers: list[PeerSpec]) -> int:
    """log2 of how often chrony looks for a sample.

    Each answered poll of any of the peers brings one. So chrony looks every 16 s, more often if one
    of them always answers more often, and less often if each of them always answers less often.
    After eight looks without a sample chrony takes the source for unreachable.
    """
    minpoll = min([peer.peer.minpoll for peer in peers] or [DEFAULT_POLLS[0]])
    maxpoll = min([peer.peer.maxpoll for peer in peers] or [DEFAULT_POLLS[1]])
    poll = max(min(CHRONY_POLL, maxpoll), minpoll, maxpoll - REACHABLE_POLLS)
    return min(poll, MAX_CHRONY_POLL)


def ntpd_poll(peers: list[PeerSpec]) -> int:
    """The poll of ntpd and NTPsec, log2 s: twice the longest poll of the peers.

    ntpd and NTPsec count a poll without a sample as a failure. A peer's interval may be longer than
    its poll by `ntp.poll.SPREAD`, so an equal poll would miss samples.
    """
    maxpoll = max((peer.peer.maxpoll for peer in peers), default=DEFAULT_POLLS[1])
    return min(max(maxpoll + 1, LEAST_NTPD_POLL), MAX_NTPD_POLL)


def feeds(peer: PeerSpec, refclock: RefclockSpec) -> bool:
    """Whether the samples of the refclock depend on this peer."""
    return peer.name == refclock.peer if refclock.peer is not None else not peer.peer.noselect


def refid(number: int) -> str:
    """WEB, WEB2, ... WE10: four characters at the most."""
    suffix = "" if number == 1 else str(number)
    return "WEB"[: 4 - len(suffix)] + suffix


def name(source: ConsumerSource) -> str:
    match source.spec.parameters:
        case ShmParameters(unit):
            return f"SHM unit {unit}"
        case SockParameters(path):
            return f"SOCK {path}"


def chrony(source: ConsumerSource) -> Iterator[str]:
    """`filter 1`: by default, chrony before 4.7 discards a poll with fewer than four samples."""
    match source.spec.parameters:
        case ShmParameters(unit):
            # dpoll 0: chrony looks every second, because we write each sample when we measure it.
            driver, dpoll = f"SHM {unit}:perm=0600", " dpoll 0"
        case SockParameters(path):
            driver, dpoll = f"SOCK {path}", ""
    yield f"# {source.basis}"
    yield (
        f"refclock {driver} refid {source.refid} poll {source.chrony_poll}{dpoll} filter 1"
        f" delay {source.delay:g} precision {source.precision:g}"
    )


def ntpsec(source: ConsumerSource) -> Iterator[str]:
    """NTPsec names the driver. The error bound comes with each sample."""
    match source.spec.parameters:
        case ShmParameters(unit):
            yield f"refclock shm unit {unit} refid {source.refid} {ntpd_polls(source)}"


def ntpd(source: ConsumerSource) -> Iterator[str]:
    """Classic ntpd. `flag1 1`: take an offset of more than four hours too."""
    match source.spec.parameters:
        case ShmParameters(unit):
            yield f"server 127.127.28.{unit} {ntpd_polls(source)}"
            yield f"fudge 127.127.28.{unit} refid {source.refid} flag1 1"


def ntpd_polls(source: ConsumerSource) -> str:
    return f"minpoll {source.ntpd_poll} maxpoll {source.ntpd_poll}"


def ntpd_rs(source: ConsumerSource) -> Iterator[str]:
    """No key is right for every version: 1.4 does not know `precision`, 1.5 and later warn."""
    match source.spec.parameters:
        # ntpd-rs panics on the default path: it cannot make chrony's socket.
        case SockParameters(path) if path != SockParameters().path:
            precision = max(source.precision, LEAST_NTPD_RS_PRECISION)
            variance = f"measurement_noise_estimate = {precision**2:g}"
            yield f"# {source.basis}"
            yield "[[source]]"
            yield 'mode = "sock"'
            yield f"path = {json.dumps(str(path))}"
            if source.ntpd_rs is not None and source.ntpd_rs < NTPD_RS_PRECISION_SINCE:
                yield variance
                return
            yield f"precision = {precision:g}"
            if source.ntpd_rs is None:
                yield f"# ntpd-rs before 1.5 wants this in its place: {variance}"


WRITERS: dict[Consumer, Callable[[ConsumerSource], Iterator[str]]] = {
    Consumer.CHRONY: chrony,
    Consumer.NTPSEC: ntpsec,
    Consumer.NTPD: ntpd,
    Consumer.NTPD_RS: ntpd_rs,
}
NEEDS = {
    Consumer.CHRONY: 'type = "shm" or type = "sock"',
    Consumer.NTPSEC: 'type = "shm"',
    Consumer.NTPD: 'type = "shm"',
    Consumer.NTPD_RS: f'type = "sock" with path = "{NTPD_RS_SOCK}"',
}
FOOTERS = {
    Consumer.NTPSEC: (
        "# Debian's file has `tos minclock 4 minsane 3`: where this is the only source in reach,",
        "# write `tos minsane 1` instead.",
    ),
    Consumer.NTPD_RS: (
        "# Its [synchronization] asks for three sources that agree unless it says otherwise:",
        "# minimum-agreeing-sources = 1",
    ),
}
