"""What to say of the step from one snapshot to the next: one line per change of state.

As the lines come from snapshots, nothing that repeats itself is said twice, and a remote makes
at most one line a poll.
"""

import logging
from collections.abc import Iterator
from itertools import chain

from webntpd.ntp.types import Estimate, Leap, NoEstimate, Verdict
from webntpd.status import PeerStatus, RefclockStatus, Status, seconds, signed_seconds

Line = tuple[int, str]
"""A logging level and a text."""


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
        yield logging.INFO, f"peer {report.name}: reachable"
    failure = report.last_failure
    reason = f"{failure.rejection}: {failure.detail}" if failure else "no answer"
    if was_reachable and not report.reach:
        yield logging.WARNING, f"peer {report.name}: unreachable, {reason}"
        return
    told = before.last_failure if before else None
    if failure and not (told and told.rejection is failure.rejection):
        yield logging.WARNING, f"peer {report.name}: {reason}"


def _of_refclock(old: RefclockStatus | None, new: RefclockStatus) -> Iterator[Line]:
    if new.published and not (old and old.published):
        yield logging.INFO, f"refclock {new.name}: first sample published"


def _of_verdict(old: Verdict | None, new: Verdict) -> Iterator[Line]:
    before = old.estimate if old else None
    estimate = new.estimate
    if not isinstance(estimate, Estimate):
        if before is not estimate:
            yield _level_of_silence(before, estimate), f"nothing to publish: {estimate}"
        return
    if not isinstance(before, Estimate):
        offset, bound = signed_seconds(estimate.offset), seconds(estimate.root_distance)
        yield (
            logging.INFO,
            f"synchronised to {estimate.system_peer}: offset {offset}, error bound {bound}",
        )
    elif before.system_peer != estimate.system_peer:
        yield logging.DEBUG, f"system peer is now {estimate.system_peer}"
    announced = before.leap if isinstance(before, Estimate) else Leap.NONE
    if estimate.leap is not announced:
        yield logging.WARNING, _leap_text(estimate.leap)


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
