"""The state of the daemon in one line."""

from webntpd.ntp.estimates import Estimate, NoEstimate
from webntpd.status.snapshot import ServerStatus, Status
from webntpd.status.text import bounded


def summary(status: Status) -> str:
    """The daemon's state in words, for the service manager's STATUS line."""
    estimate = status.verdict.estimate
    if status.server is not None and status.serves_only:
        return f"serving time: {server_in_words(status.server)}"
    peers = f"{status.reachable} of {len(status.peers)} peers reachable"
    if not isinstance(estimate, Estimate):
        return f"{why_none(status, estimate)}; {peers}"
    offset = bounded(status.offset(estimate), status.error_bound(estimate))
    return (
        f"synchronised to {estimate.system_peer}, offset {offset},"
        f" {len(status.verdict.speakers)} survivors, {peers}"
    )


def server_in_words(server: ServerStatus) -> str:
    answered = server.requests + server.messages
    return f"{server.connections} connections open, {answered} answers, {server.refusals} refusals"


def why_none(status: Status, reason: NoEstimate) -> str:
    """Why nothing is published, with the remedy where the configuration is the cause."""
    if status.peers and all(peer.report.noselect for peer in status.peers):
        return "all peers are noselect: remove that key from the peers to follow"
    return str(reason)
