"""The log lines for the step from one snapshot to the next: one for each change of state.

As the lines come from snapshots, nothing that repeats itself is said twice, and a remote makes
at most one line a poll.
"""

import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Estimate, NoEstimate
from webntpd.ntp.readings import Leap, Rejection
from webntpd.status.snapshot import PeerStatus, RefclockStatus, Status
from webntpd.status.text import seconds, signed_seconds

CONTRADICTED = "its answers cannot all be true, the older ones are dropped"


class Line(NamedTuple):
    """A logging level, a text, and the same in fields for programs."""

    level: int
    text: str
    fields: Mapping[str, str | float]


def changes(before: Status | None, after: Status) -> Iterator[Line]:
    """The lines that `after` is worth when `before` was the state until now."""
    old_peers = {peer.report.name: peer for peer in before.peers} if before else {}
    old_refclocks = {each.name: each for each in before.refclocks} if before else {}
    return chain(
        *(_of_peer(old_peers.get(peer.report.name), peer) for peer in after.peers),
        *(_of_refclock(old_refclocks.get(each.name), each) for each in after.refclocks),
        _of_verdict(before, after),
    )


def _of_peer(old: PeerStatus | None, new: PeerStatus) -> Iterator[Line]:
    before = old.report if old else None
    report = new.report
    was_reachable = before is not None and before.reach != 0
    if report.reach and not was_reachable:
        yield _peer_line(logging.INFO, "reachable", report, "reachable")
    failure = report.last_failure
    rejection = failure.rejection if failure else None
    reason = f"{failure.rejection}: {failure.detail}" if failure else "no answer"
    # A contradiction is found among answers: no failure of an exchange comes with it.
    contradiction = Rejection.CONTRADICTION
    if rejection is not contradiction and _is_new(contradiction, before, report):
        text = f"{contradiction}: {CONTRADICTED}"
        yield _peer_line(logging.WARNING, "rejection", report, text, contradiction)
    if was_reachable and not report.reach:
        yield _peer_line(
            logging.WARNING, "unreachable", report, f"unreachable, {reason}", rejection
        )
    elif rejection and _is_new(rejection, before, report):
        yield _peer_line(logging.WARNING, "rejection", report, reason, rejection)


def _is_new(rejection: Rejection, before: PeerReport | None, report: PeerReport) -> bool:
    """Whether a kind of rejection occurs for the first time.

    It is told once: a server that fails now in one way, now in another says nothing new.
    """
    return bool(report.rejections.get(rejection)) and not (
        before and before.rejections.get(rejection)
    )


def _peer_line(
    level: int, event: str, report: PeerReport, text: str, rejection: Rejection | None = None
) -> Line:
    fields = {"event": event, "peer": report.name}
    if rejection:
        fields["rejection"] = rejection
    return Line(level, f"peer {report.name}: {text}", fields)


def _of_refclock(old: RefclockStatus | None, new: RefclockStatus) -> Iterator[Line]:
    if new.published and not (old and old.published):
        text = f"refclock {new.name}: first sample published"
        yield Line(logging.INFO, text, {"event": "first_sample", "refclock": new.name})


def _of_verdict(before: Status | None, after: Status) -> Iterator[Line]:
    if not after.peers:  # a server alone, or no peer has reported yet
        return
    old = before.verdict.estimate if before and before.peers else None
    estimate = after.verdict.estimate
    if not isinstance(estimate, Estimate):
        if old is not estimate:
            level, text = _level_of_silence(old, estimate), f"nothing to publish: {estimate}"
            yield Line(level, text, {"event": "no_estimate", "reason": estimate.name.lower()})
        return
    offset, error = after.offset(estimate), after.error_bound(estimate)
    figures: Mapping[str, str | float]
    figures = {"peer": estimate.system_peer, "offset": offset, "error": error}
    if not isinstance(old, Estimate):
        found = f"offset {signed_seconds(offset)}, error bound {seconds(error)}"
        text = f"synchronised to {estimate.system_peer}: {found}"
        yield Line(logging.INFO, text, {"event": "synchronised", **figures})
    elif old.system_peer != estimate.system_peer:
        text = f"system peer is now {estimate.system_peer}"
        yield Line(logging.DEBUG, text, {"event": "system_peer", **figures})
    announced = old.leap if isinstance(old, Estimate) else Leap.NONE
    if estimate.leap is not announced:
        fields = {"event": "leap_warning", "leap": estimate.leap.name.lower()}
        yield Line(logging.WARNING, _leap_text(estimate.leap), fields)


def _level_of_silence(before: Estimate | NoEstimate | None, reason: NoEstimate) -> int:
    if isinstance(before, Estimate):
        return logging.WARNING
    # Every start goes through it, and comes out of it by itself.
    return logging.DEBUG if reason is NoEstimate.WAITING else logging.INFO


def _leap_text(leap: Leap) -> str:
    if leap is Leap.NONE:
        return "the leap second's warning is withdrawn"
    what = "inserted" if leap is Leap.INSERT else "deleted"
    return f"a leap second will be {what} at the end of this day (UTC)"
