"""The lines by which chrony, NTPsec, ntpd or ntpd-rs takes its time from this configuration.

What each of them understands was tried; why each option is there stands beside it.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from webntpd.choices import Consumer
from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.refclock import ShmParameters, SockParameters

TYPICAL_DELAY = 0.05
"""A round trip to a server on the internet, s: chrony's error bound has half of it in it."""
TYPICAL_ERROR = 1e-3
"""What is left of its asymmetry, s."""
DEFAULT_POLLS = (4, 6)
"""log2 s, while there is no peer yet."""
LEAST_NTPD_POLL = 3
"""ntpd polls no refclock more often, log2 s."""


class ConsumerError(Exception):
    """The consumer can read none of the outputs; the text says what it could read."""


@dataclass(frozen=True, slots=True)
class Output:
    """An output as its consumer must know it. Polls are log2 s, the rest s."""

    spec: RefclockSpec
    refid: str
    minpoll: int
    maxpoll: int
    delay: float
    error: float


HEADINGS = {
    Consumer.CHRONY: "/etc/chrony/conf.d/webntpd.conf",
    Consumer.NTPSEC: "/etc/ntpsec/ntp.conf",
    Consumer.NTPD: "/etc/ntp.conf",
    Consumer.NTPD_RS: "/etc/ntpd-rs/ntp.toml",
}
"""The file that the lines belong to, on Debian."""


def consumer_lines(config: Config, consumer: Consumer) -> list[str]:
    """What goes into the consumer's configuration. Raises ConsumerError if nothing can."""
    lines = [f"# {HEADINGS[consumer]}"]
    writer = WRITERS[consumer]
    usable = False
    for output in outputs(config):
        written = list(writer(output))
        usable = usable or bool(written)
        if output.spec.peer is not None and written:
            lines.append(f"# what {output.spec.peer} measures")
        lines += written or [f"# {name(output)} is nothing that {consumer} can read"]
    if not usable:
        raise ConsumerError(
            f"{consumer} reads {READS[consumer]}, and there is no such [[refclock]]"
        )
    return [*lines, *FOOTERS.get(consumer, ())]


def outputs(config: Config) -> Iterator[Output]:
    """The configured outputs with what their consumer must know of them."""
    for number, spec in enumerate(config.refclocks, start=1):
        peers = [peer for peer in config.peers if feeds(peer, spec)]
        # The consumer's poll is no shorter than ours, else most of its polls would find nothing.
        minpolls = [peer.peer.minpoll for peer in peers]
        maxpolls = [peer.peer.maxpoll for peer in peers]
        yield Output(
            spec=spec,
            refid=refid(number),
            minpoll=max(minpolls, default=DEFAULT_POLLS[0]),
            maxpoll=max(maxpolls, default=DEFAULT_POLLS[1]),
            delay=TYPICAL_DELAY + max((peer.peer.root_delay for peer in peers), default=0.0),
            error=max([TYPICAL_ERROR, *(peer.peer.root_dispersion for peer in peers)]),
        )


def feeds(peer: PeerSpec, output: RefclockSpec) -> bool:
    """Whether what the output gets depends on this peer."""
    return peer.name == output.peer if output.peer is not None else not peer.peer.noselect


def refid(number: int) -> str:
    """WEB, WEB2, ... WE10: four characters at the most."""
    suffix = "" if number == 1 else str(number)
    return "WEB"[: 4 - len(suffix)] + suffix


def name(output: Output) -> str:
    match output.spec.parameters:
        case ShmParameters(unit):
            return f"SHM unit {unit}"
        case SockParameters(path):
            return f"SOCK {path}"


def chrony(output: Output) -> Iterator[str]:
    """One poll interval only: the longest of ours. `filter 1`: before 4.7 it wants four samples."""
    match output.spec.parameters:
        case ShmParameters(unit):
            # dpoll 0: look every second, for a sample is put there the moment it is measured.
            source, dpoll = f"SHM {unit}:perm=0600", " dpoll 0"
        case SockParameters(path):
            source, dpoll = f"SOCK {path}", ""
    yield (
        f"refclock {source} refid {output.refid} poll {output.maxpoll}{dpoll} filter 1"
        f" delay {output.delay:g} precision {output.error:g}"
    )


def ntpsec(output: Output) -> Iterator[str]:
    """NTPsec names the driver."""
    match output.spec.parameters:
        case ShmParameters(unit):
            yield f"refclock shm unit {unit} refid {output.refid} {ntpd_polls(output)}"


def ntpd(output: Output) -> Iterator[str]:
    """Classic ntpd. `flag1 1`: take an offset of more than four hours too."""
    match output.spec.parameters:
        case ShmParameters(unit):
            yield f"server 127.127.28.{unit} {ntpd_polls(output)}"
            yield f"fudge 127.127.28.{unit} refid {output.refid} flag1 1"


def ntpd_polls(output: Output) -> str:
    minpoll = max(output.minpoll, LEAST_NTPD_POLL)
    return f"minpoll {minpoll} maxpoll {max(output.maxpoll, minpoll)}"


def ntpd_rs(output: Output) -> Iterator[str]:
    """It takes a sample's time of arrival for that of its measurement, hence the wider bound.

    1.4 takes the variance only; versions after it would rather have `precision`, but still take it.
    """
    match output.spec.parameters:
        case SockParameters(path):
            yield "[[source]]"
            yield 'mode = "sock"'
            yield f"path = {json.dumps(str(path))}"
            yield f"measurement_noise_estimate = {max(output.error, 5e-3) ** 2:g}"


WRITERS: dict[Consumer, Callable[[Output], Iterator[str]]] = {
    Consumer.CHRONY: chrony,
    Consumer.NTPSEC: ntpsec,
    Consumer.NTPD: ntpd,
    Consumer.NTPD_RS: ntpd_rs,
}
READS = {
    Consumer.CHRONY: 'type = "shm" and type = "sock"',
    Consumer.NTPSEC: 'type = "shm" alone',
    Consumer.NTPD: 'type = "shm" alone',
    Consumer.NTPD_RS: 'type = "sock" alone',
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
