"""A snapshot as text."""

from dataclasses import replace

from tests.unit.status import snapshots
from tests.unit.status.snapshots import GOOD, MEASURED, NOW_NS
from webntpd.ntp.estimates import NoEstimate, Publication, Tally, Verdict
from webntpd.ntp.readings import Leap
from webntpd.status.peers import peer_lines, refclock_line, status_lines
from webntpd.status.snapshot import PeerStatus, RefclockStatus, ServerStatus, Status

PEERS = (
    PeerStatus(GOOD, "websocket", Tally.SYSTEM_PEER, MEASURED),
    PeerStatus(replace(snapshots.DEAD, noselect=False), "http", Tally.UNFIT),
)
STATUS = replace(snapshots.SYNCHRONISED, peers=PEERS, refclocks=(), server=None)


def test_the_peers_stand_in_the_columns_of_ntpq() -> None:
    assert peer_lines(STATUS) == [
        (
            " remote                   kind       reach  poll  when      delay     offset  jitter"
            "  stamps              last rejection"
        ),
        (
            "*wss://time.example.org/  websocket    377    16    12  12.000 ms  -123.0 µs  4.5 µs"
            "  interleaved kernel  -"
        ),
        (
            " http://dead.example/     http           0    64     -          -          -       -"
            "  -                   connect"
        ),
    ]


def test_a_snapshot_begins_with_its_state_in_words() -> None:
    lines = status_lines(STATUS)
    assert lines[0].startswith("synchronised to wss://time.example.org/, offset -123.0 µs")
    assert lines[1:] == ["", *peer_lines(STATUS)]


def test_the_reason_for_no_estimate_is_shown() -> None:
    status = replace(STATUS, verdict=Verdict(NoEstimate.NO_MAJORITY, {}))
    assert status_lines(status)[0].startswith("no majority of the peers agrees")


def test_a_snapshot_without_peers_has_the_heading_alone() -> None:
    status = Status(NOW_NS, (), Verdict(NoEstimate.NO_PEER, {}))
    assert len(peer_lines(status)) == 1


def test_a_server_without_peers_shows_no_table_of_them() -> None:
    status = Status(NOW_NS, (), Verdict(NoEstimate.NO_PEER, {}), server=ServerStatus(1, 2, 3, 4, 5))
    assert status_lines(status) == [
        "serving time: 1 connections open, 7 answers, 5 refusals",
    ]


def test_the_outputs_stand_below_the_peers() -> None:
    status = replace(STATUS, refclocks=(RefclockStatus("SHM(2)"), RefclockStatus("SHM(3)")))
    assert status_lines(status)[-3:] == [
        "",
        "SHM(2): 0 samples published",
        "SHM(3): 0 samples published",
    ]


def test_an_output_says_what_it_got_and_what_is_wrong() -> None:
    refclock = RefclockStatus(
        "SHM(2)",
        published=7,
        not_consumed=3,
        failures=2,
        problem="nobody reads",
        last=Publication(0, 0.0015, 0.1, Leap.NONE),
    )
    assert refclock_line(refclock) == (
        "SHM(2): 7 samples published, last +1.500 ms, 3 not consumed, 2 failures; now: nobody reads"
    )


def test_a_trend_stands_at_the_end_of_a_peers_line() -> None:
    peers = (replace(PEERS[0], offsets=(-1.0, 0.0, 6.0)), PEERS[1])
    heading, first, second = peer_lines(replace(STATUS, peers=peers), trend=True)
    assert heading.endswith("  last rejection  trend")
    assert first.endswith("  ▁▂█")
    assert second.endswith("  connect         -")
    assert status_lines(replace(STATUS, peers=peers), trend=True)[2:5] == [heading, first, second]
