"""Our own list of leap seconds counts while it is valid, and the notices of the peers else."""

from dataclasses import replace

import pytest

from tests.unit.builders import reading, report
from tests.unit.leap.days import DAY_NS, NEW_YEAR_2017_NS
from webntpd.leap.knowledge import LeapKnowledge
from webntpd.leap.list import LeapList
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Entry, Track
from webntpd.ntp.readings import NS_PER_S, Leap, LeapNotice, Smear

SOON_NS = NEW_YEAR_2017_NS - NS_PER_S
ORDINARY_NS = NEW_YEAR_2017_NS + 60 * DAY_NS
INSERTED = LeapNotice(36, NEW_YEAR_2017_NS, 1)
DELETED = LeapNotice(36, NEW_YEAR_2017_NS, -1)
OWN = LeapList(0, NEW_YEAR_2017_NS + 99 * DAY_NS, (INSERTED,))
EXPIRED = replace(OWN, expires_ns=SOON_NS)
SMEARS = {"smearing": Smear.NOON_TO_NOON}


def announcing(name: str, notice: LeapNotice | None) -> PeerReport:
    track = Track((Entry(0, 0, 0, 0, 0.0),), UNKNOWN_FREQUENCY, 4, last_reply_ns=0, leap=notice)
    return report(name, track=track)


REPORTS = [
    announcing("honest", DELETED),
    announcing("silent", None),
    announcing("smearing", DELETED),
    report("new"),
]


def test_our_own_list_warns_for_every_peer() -> None:
    warnings = LeapKnowledge(OWN, SMEARS).warnings(REPORTS, SOON_NS)
    assert warnings == dict.fromkeys(("honest", "silent", "smearing", "new"), Leap.INSERT)


@pytest.mark.parametrize("own", [None, EXPIRED])
def test_without_a_valid_list_peers_that_do_not_smear_announce(own: LeapList | None) -> None:
    assert LeapKnowledge(own, SMEARS).warnings(REPORTS, SOON_NS) == {"honest": Leap.DELETE}


@pytest.mark.parametrize(
    ("knowledge", "wall_ns", "barred"),
    [
        (LeapKnowledge(None, SMEARS), SOON_NS, {"smearing"}),
        (LeapKnowledge(EXPIRED, SMEARS), SOON_NS, {"smearing"}),
        (LeapKnowledge(None, SMEARS), ORDINARY_NS, set()),
        (LeapKnowledge(OWN, SMEARS), SOON_NS, set()),
        (LeapKnowledge(None), SOON_NS, set()),
    ],
)
def test_a_peer_that_may_be_smearing_has_no_vote(
    knowledge: LeapKnowledge, wall_ns: int, barred: set[str]
) -> None:
    assert knowledge.barred(REPORTS, wall_ns) == barred


def test_a_smeared_reading_is_corrected_or_dropped() -> None:
    smeared = replace(reading(0.0), t2_ns=SOON_NS, t3_ns=SOON_NS)
    later = replace(reading(0.0), t2_ns=ORDINARY_NS, t3_ns=ORDINARY_NS)
    corrected = LeapKnowledge(OWN, SMEARS).corrected(smeared, Smear.NOON_TO_NOON, REPORTS)
    assert corrected is not None
    assert corrected.t3_ns == pytest.approx(SOON_NS + NS_PER_S // 2, abs=20_000)
    unknowing = LeapKnowledge(None, SMEARS)
    assert unknowing.corrected(smeared, Smear.NOON_TO_NOON, REPORTS) is None
    assert unknowing.corrected(later, Smear.NOON_TO_NOON, REPORTS) == later
    assert unknowing.corrected(smeared, Smear.NONE, REPORTS) == smeared
