"""Every peer in full, as text."""

from dataclasses import replace

from tests.unit.status.snapshots import GOOD, SYNCHRONISED, ago
from webntpd.ntp.estimates import Tally
from webntpd.ntp.readings import NS_PER_S
from webntpd.status.sources import FATES, source_lines


def test_each_peer_is_shown_with_all_that_is_known() -> None:
    assert source_lines(SYNCHRONISED) == [
        "Peer           : wss://time.example.org/ (websocket)",
        "State          : system peer, prefer",
        "Reach          : 377, last reply 12 s ago",
        "Poll           : every 16 s, next in 4 s",
        "Offset         : -123.0 µs ± 6.350 ms",
        "Bounds         : -6.273 ms to +6.227 ms",
        "Delay          : 12.000 ms",
        "Dispersion     : 100.0 µs",
        "Jitter         : 4.5 µs",
        "Frequency      : 12.500 ppm slow, uncertain by 0.020 ppm",
        "Stamps         : interleaved kernel",
        "Measured       : 12 s ago",
        "Samples        : 99: 9 four-stamp kernel/user, 90 interleaved kernel",
        "Rejections     : 1 contradiction, 3 timeout",
        "",
        "Peer           : http://dead.example/ (http)",
        "State          : not fit to vote, noselect",
        "Reach          : 0, last reply never",
        "Poll           : every 64 s, next in 0 s",
        "Samples        : 0",
        "Last rejection : connect: refused�[2J",
    ]


def test_every_tally_has_its_words() -> None:
    assert set(FATES) == set(Tally)


def test_without_peers_the_view_says_so() -> None:
    assert source_lines(replace(SYNCHRONISED, peers=())) == ["there are no peers"]


def test_long_times_have_their_own_unit() -> None:
    peer = replace(SYNCHRONISED.peers[0], report=replace(GOOD, last_reply_ns=ago(7200)))
    assert "last reply 120m ago" in source_lines(replace(SYNCHRONISED, peers=(peer,)))[2]
    assert SYNCHRONISED.at_ns > 7200 * NS_PER_S
