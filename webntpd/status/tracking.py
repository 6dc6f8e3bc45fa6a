"""The system's offset and where it went, laid out as `chronyc tracking` does, with NTP's sign."""

from collections.abc import Iterator

from webntpd.ntp.estimates import Estimate
from webntpd.ntp.readings import NS_PER_S
from webntpd.status.snapshot import RefclockStatus, ServerStatus, Status
from webntpd.status.summary import why_none
from webntpd.status.text import (
    Fact,
    ago,
    ahead,
    bounded,
    lasting,
    oscillator,
    paragraphs,
    printable,
    seconds,
)

SECONDS_PER_DAY = 86_400
SETTLED = 5
"""Published samples after which a consumer usually follows a refclock."""
EXPECTATION = (
    "a consumer follows after a few polls of its own: until then chrony shows #?,"
    " NTPsec and ntpd a blank, ntpd-rs stratum 16"
)


def tracking_lines(status: Status) -> list[str]:
    """A block for the system, one for each output, and one for the server."""
    blocks = [_running_facts(status) if status.serves_only else _system_facts(status)]
    blocks += [_refclock_facts(refclock, status) for refclock in status.refclocks]
    blocks += [_server_facts(status.server)] if status.server else []
    return paragraphs(blocks)


def _system_facts(status: Status) -> Iterator[Fact]:
    estimate = status.verdict.estimate
    if isinstance(estimate, Estimate):
        yield from _estimate_facts(estimate, status)
        yield "Survivors", ", ".join(status.verdict.speakers)
    else:
        yield "System offset", f"none: {why_none(status, estimate)}"
    yield "Frequency", oscillator(status.verdict.frequency)
    yield "Reachable", f"{status.reachable} of {len(status.peers)} peers"
    yield from _running_facts(status)


def _running_facts(status: Status) -> Iterator[Fact]:
    if status.leap_expires_ns is not None:
        days = ahead(status.leap_expires_ns, status.wall_ns) / SECONDS_PER_DAY
        yield "Leap list", f"expires in {days:.0f} days" if days else "expired"
    yield "Running for", lasting(status.started_ns, status)


def _estimate_facts(estimate: Estimate, status: Status) -> Iterator[Fact]:
    offset = status.offset(estimate)
    yield "System peer", estimate.system_peer
    yield "System offset", f"{bounded(offset, status.error_bound(estimate))}, {sense(offset)}"
    yield "Jitter", seconds(estimate.jitter)
    yield "Measured", ago(status.measured_ns, status)
    yield "Leap warning", estimate.leap.name.lower()


def _refclock_facts(refclock: RefclockStatus, status: Status) -> Iterator[Fact]:
    yield "Refclock", refclock.name
    yield "Published", f"{refclock.published} samples, {refclock.not_consumed} not consumed"
    if last := refclock.last:
        elapsed = (status.wall_ns - last.receive_ns) / NS_PER_S
        yield "Last sample", f"{bounded(last.offset, last.error)}, {elapsed:.0f} s ago"
        yield "Before that", _fate(refclock)
    if 0 < refclock.published < SETTLED:
        yield "Expect", EXPECTATION
    if refclock.failures:
        yield "Failures", str(refclock.failures)
    if refclock.problem:
        yield "Problem", printable(refclock.problem)


def _server_facts(server: ServerStatus) -> Iterator[Fact]:
    yield "Server", f"{server.connections} connections open, {server.accepted} accepted"
    answered = f"{server.requests} requests, {server.messages} messages"
    yield "Answered", f"{answered}, {server.refusals} refused"


def _fate(refclock: RefclockStatus) -> str:
    """Whether the sample before the last was taken; the last one may still be."""
    if refclock.consumed is None:
        return "not known whether the consumer took it"
    return "consumed" if refclock.consumed else "not consumed: is a consumer reading?"


def sense(offset: float) -> str:
    """The meaning of an offset's sign. chronyc prints the opposite sign."""
    if offset == 0:
        return "the local clock is right"
    return f"the local clock is {'behind' if offset > 0 else 'ahead'}"
