"""A snapshot as JSON, for programs. docs/status.md says what each member means.

Times and differences are in seconds, instants of the wall clock in Unix time, frequencies in ppm. A
positive offset means that the local clock is behind, and a positive frequency that its oscillator
is slow. RAW instants have no meaning outside the daemon: the time since them is shown instead.
"""

from typing import Any

from webntpd import __version__
from webntpd.ntp.estimates import Estimate, Frequency, NoEstimate, PeerEstimate, Publication
from webntpd.ntp.readings import NS_PER_S, Provenance
from webntpd.status.snapshot import PPM, PeerStatus, RefclockStatus, ServerStatus, Status
from webntpd.status.summary import summary

VERSION = 2
"""Changes when a member changes its meaning or goes away, not when one is added."""

Json = dict[str, Any]


def document(status: Status) -> Json:
    """The whole snapshot."""
    return {
        "version": VERSION,
        "webntpd": __version__,
        "at": status.wall_ns / NS_PER_S,
        "uptime": _since(status.started_ns, status),
        "leap_list_expires": _unix(status.leap_expires_ns),
        "system": _system(status),
        "peers": [_peer(peer, status) for peer in status.peers],
        "refclocks": [_refclock(refclock) for refclock in status.refclocks],
        "server": status.server and _server(status.server),
    }


def _system(status: Status) -> Json:
    estimate = status.verdict.estimate
    return {
        "summary": summary(status),
        "estimate": _estimate(estimate, status) if isinstance(estimate, Estimate) else None,
        "why_none": estimate.name.lower() if isinstance(estimate, NoEstimate) else None,
        "survivors": list(status.verdict.speakers),
        **_frequency(status.verdict.frequency),
        "reachable": status.reachable,
    }


def _estimate(estimate: Estimate, status: Status) -> Json:
    return {
        "offset": status.offset(estimate),
        "error": status.error_bound(estimate),
        "jitter": estimate.jitter,
        "age": _since(status.measured_ns, status),
        "system_peer": estimate.system_peer,
        "leap": estimate.leap.name.lower(),
    }


def _peer(peer: PeerStatus, status: Status) -> Json:
    report = peer.report
    failure = report.last_failure
    return {
        "name": report.name,
        "kind": str(peer.kind),
        "tally": peer.tally.name.lower(),
        "reach": report.reach,
        "poll": report.poll,
        "since_reply": _since(report.last_reply_ns, status),
        "next_poll_in": (report.next_poll_ns - status.at_ns) / NS_PER_S,
        "estimate": peer.estimate and _peer_estimate(peer, peer.estimate, status),
        **_frequency(peer.frequency),
        "offsets": list(peer.offsets),
        "samples": report.samples,
        "samples_by_stamps": [
            {**stamps(provenance), "count": count} for provenance, count in report.stamps.items()
        ],
        "rejections": {name.value: count for name, count in report.rejections.items()},
        "last_rejection": failure and {"name": failure.rejection.value, "detail": failure.detail},
        "prefer": report.prefer,
        "noselect": report.noselect,
    }


def _peer_estimate(peer: PeerStatus, estimate: PeerEstimate, status: Status) -> Json:
    low, high = status.bounds(estimate)
    return {
        "offset": status.offset(estimate),
        "error": status.error_bound(estimate),
        "low": low,
        "high": high,
        "delay": estimate.delay,
        "dispersion": estimate.dispersion,
        "jitter": estimate.jitter,
        "root_delay": estimate.root_delay,
        "root_dispersion": estimate.root_error,
        "age": _since(peer.measured_ns, status),
        "stamps": estimate.provenance and stamps(estimate.provenance),
    }


def _frequency(frequency: Frequency | None) -> Json:
    """The local oscillator's frequency, ppm, and its wander, ppm a second."""
    return {
        "frequency": frequency and frequency.value / PPM,
        "frequency_error": frequency and frequency.uncertainty / PPM,
        "wander": frequency and frequency.wander / PPM,
    }


def stamps(provenance: Provenance) -> Json:
    """The timestamps that a sample was made of."""
    return {
        "formula": provenance.formula.value,
        "t1": provenance.t1.value,
        "t4": provenance.t4.value,
    }


def _refclock(refclock: RefclockStatus) -> Json:
    return {
        "name": refclock.name,
        "published": refclock.published,
        "consumed": refclock.consumed,
        "not_consumed": refclock.not_consumed,
        "failures": refclock.failures,
        "problem": refclock.problem,
        "last": refclock.last and _publication(refclock.last),
    }


def _publication(publication: Publication) -> Json:
    return {
        "at": publication.receive_ns / NS_PER_S,
        "offset": publication.offset,
        "error": publication.error,
        "leap": publication.leap.name.lower(),
    }


def _server(server: ServerStatus) -> Json:
    return {
        "connections": server.connections,
        "accepted": server.accepted,
        "requests": server.requests,
        "messages": server.messages,
        "refusals": server.refusals,
    }


def _since(then_ns: int | None, status: Status) -> float | None:
    """Seconds since a RAW instant."""
    return None if then_ns is None else (status.at_ns - then_ns) / NS_PER_S


def _unix(wall_ns: int | None) -> float | None:
    return None if wall_ns is None else wall_ns / NS_PER_S
