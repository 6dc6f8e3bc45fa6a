"""What to say of the step from one snapshot to the next: one line per change of state.

As the lines come from snapshots, nothing that repeats itself is said twice, and a remote makes
at most one line a poll.
"""

import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import NamedTuple

from webntpd.ntp.types import Estimate, Leap, NoEstimate, PeerReport, Verdict
from webntpd.status import PeerStatus, RefclockStatus, Status, seconds, signed_seconds


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
        _of_verdict(before.verdict if before else None, after.verdict),
    )


def _of_peer(old: PeerStatus | None, new: PeerStatus) -> Iterator[Line]:
    before = old.report if old else None
    report = new.report
    was_reachable = before is not None and before.reach != 0
    if report.reach and not was_reachable:
        yield _peer_line(logging.INFO, "reachable", report, "reachable")
    failure = report.last_failure
    reason = f"{failure.rejection}: {failure.detail}" if failure else "no answer"
    if was_reachable and not report.reach:
        yield _peer_line(logging.WARNING, "unreachable", report, f"unreachable, {reason}")
        return
    # A kind is news once: a server that fails now in one way, now in another says nothing new.
    if failure and not (before and before.rejections.get(failure.rejection)):
        yield _peer_line(logging.WARNING, "rejection", report, reason)


def _peer_line(level: int, event: str, report: PeerReport, text: str) -> Line:
    fields = {"event": event, "peer": report.name}
    if event != "reachable" and report.last_failure:
        fields["rejection"] = report.last_failure.rejection
    return Line(level, f"peer {report.name}: {text}", fields)


def _of_refclock(old: RefclockStatus | None, new: RefclockStatus) -> Iterator[Line]:
    if new.published and not (old and old.published):
        text = f"refclock {new.name}: first sample published"
        yield Line(logging.INFO, text, {"event": "first_sample", "refclock": new.name})


def _of_verdict(old: Verdict | None, new: Verdict) -> Iterator[Line]:
    before = old.estimate if old else None
    estimate = new.estimate
    if not isinstance(estimate, Estimate):
        if before is not estimate:
            level, text = _level_of_silence(before, estimate), f"nothing to publish: {estimate}"
            yield Line(level, text, {"event": "no_estimate", "reason": estimate.name.lower()})
        return
    if not isinstance(before, Estimate):
        offset, bound = signed_seconds(estimate.offset), seconds(estimate.root_distance)
        text = f"synchronised to {estimate.system_peer}: offset {offset}, error bound {bound}"
        yield Line(logging.INFO, text, _estimate_fields("synchronised", estimate))
    elif before.system_peer != estimate.system_peer:
        text = f"system peer is now {estimate.system_peer}"
        yield Line(logging.DEBUG, text, _estimate_fields("system_peer", estimate))
    announced = before.leap if isinstance(before, Estimate) else Leap.NONE
    if estimate.leap is not announced:
        fields = {"event": "leap_warning", "leap": estimate.leap.name.lower()}
        yield Line(logging.WARNING, _leap_text(estimate.leap), fields)


def _estimate_fields(event: str, estimate: Estimate) -> Mapping[str, str | float]:
    return {
        "event": event,
        "peer": estimate.system_peer,
        "offset": estimate.offset,
        "error": estimate.root_distance,
    }


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
