"""The daemon's knowledge of leap seconds at one moment, and its consequences for each peer.

Our own list counts while it is valid. Without a valid list, the notices of the peers count. A
server that smears must not announce the leap second, so the notice of such a peer never counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from webntpd.leap.list import LeapList
from webntpd.leap.notice import warning_from
from webntpd.leap.smear import smear_is_possible, unsmeared
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.readings import Leap, LeapNotice, Reading, Smear


@dataclass(frozen=True, slots=True)
class LeapKnowledge:
    """Our own list, if there is one, and the peers whose servers smear, by name."""

    own: LeapList | None = None
    smears: Mapping[str, Smear] = field(default_factory=dict)

    def warnings(self, reports: Iterable[PeerReport], wall_ns: int) -> dict[str, Leap]:
        """Each peer's warning at `wall_ns`, by name: that of our own list while it is valid."""
        own = self._valid_list(wall_ns)
        if own is not None:
            return dict.fromkeys((report.name for report in reports), own.warning(wall_ns))
        return {
            name: warning_from(notice, wall_ns) for name, notice in self._notices(reports).items()
        }

    def barred(self, reports: Iterable[PeerReport], wall_ns: int) -> frozenset[str]:
        """The peers without a vote at `wall_ns`: they may be smearing by an unknown amount."""
        if not self.smears or self._valid_list(wall_ns) is not None:
            return frozenset()
        if not smear_is_possible(wall_ns, self._notices(reports).values()):
            return frozenset()
        return frozenset(self.smears)

    def corrected(
        self, reading: Reading, smear: Smear, reports: Iterable[PeerReport]
    ) -> Reading | None:
        """The reading of a server that smears so, without its smear; None while that is unknown."""
        if smear is Smear.NONE:
            return reading
        own = self._valid_list(reading.t3_ns)
        if own is not None:
            return unsmeared(reading, own)
        known = self._notices(reports).values()
        return None if smear_is_possible(reading.t3_ns, known) else reading

    def _valid_list(self, wall_ns: int) -> LeapList | None:
        return self.own if self.own is not None and wall_ns < self.own.expires_ns else None

    def _notices(self, reports: Iterable[PeerReport]) -> dict[str, LeapNotice]:
        """The notices of the peers that do not smear, by name."""
        return {
            report.name: report.track.leap
            for report in reports
            if report.track and report.track.leap and report.name not in self.smears
        }
