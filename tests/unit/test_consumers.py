"""The lines for the consumers."""

import tomllib
from pathlib import Path

import pytest

from webntpd.choices import Consumer, Kind
from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.consumers import ConsumerError, consumer_lines
from webntpd.exchange import ExchangeParameters
from webntpd.ntp.types import PeerParameters
from webntpd.refclock import ShmParameters, SockParameters

SHM = RefclockSpec(ShmParameters(2))
SOCK_PATH = "/run/chrony.webntpd.sock"
SOCK = RefclockSpec(SockParameters(Path(SOCK_PATH)))


def peer(parameters: PeerParameters) -> PeerSpec:
    return PeerSpec(ExchangeParameters("ws://a", Kind.WEBSOCKET), parameters)


def code(config: Config, consumer: Consumer) -> list[str]:
    """The lines without the comments."""
    return [line for line in consumer_lines(config, consumer) if not line.startswith("#")]


PEERS = (peer(PeerParameters("a")), peer(PeerParameters("b", minpoll=5, maxpoll=8)))


def test_chrony_reads_both_kinds() -> None:
    assert code(Config(PEERS, (SHM, SOCK)), Consumer.CHRONY) == [
        ("refclock SHM 2:perm=0600 refid WEB poll 8 dpoll 0 filter 1 delay 0.05 precision 0.001"),
        (
            "refclock SOCK /run/chrony.webntpd.sock refid WEB2 poll 8 filter 1"
            " delay 0.05 precision 0.001"
        ),
    ]


def test_ntpsec_names_the_driver() -> None:
    lines = code(Config(PEERS, (SHM,)), Consumer.NTPSEC)
    assert lines == ["refclock shm unit 2 refid WEB minpoll 5 maxpoll 8"]


def test_ntpd_has_an_address_for_the_driver() -> None:
    assert code(Config(PEERS, (SHM,)), Consumer.NTPD) == [
        "server 127.127.28.2 minpoll 5 maxpoll 8",
        "fudge 127.127.28.2 refid WEB flag1 1",
    ]


def test_ntpd_rs_gets_toml() -> None:
    lines = consumer_lines(Config(PEERS, (SOCK,)), Consumer.NTPD_RS)
    assert tomllib.loads("\n".join(lines)) == {
        "source": [{"mode": "sock", "path": SOCK_PATH, "measurement_noise_estimate": 2.5e-5}]
    }


@pytest.mark.parametrize("consumer", Consumer)
def test_the_lines_begin_with_the_file_they_belong_to(consumer: Consumer) -> None:
    first, *_ = consumer_lines(Config(PEERS, (SHM, SOCK)), consumer)
    assert first.startswith("# /etc/")


@pytest.mark.parametrize(
    ("consumer", "other"),
    [
        (Consumer.NTPSEC, "# SOCK /run/chrony.webntpd.sock is nothing that ntpsec can read"),
        (Consumer.NTPD, "# SOCK /run/chrony.webntpd.sock is nothing that ntpd can read"),
        (Consumer.NTPD_RS, "# SHM unit 2 is nothing that ntpd-rs can read"),
    ],
)
def test_an_output_of_the_other_kind_is_named(consumer: Consumer, other: str) -> None:
    assert other in consumer_lines(Config(PEERS, (SHM, SOCK)), consumer)


@pytest.mark.parametrize(
    ("consumer", "refclocks", "remedy"),
    [
        (Consumer.NTPSEC, (SOCK,), 'ntpsec reads type = "shm" alone'),
        (Consumer.NTPD, (SOCK,), 'ntpd reads type = "shm" alone'),
        (Consumer.NTPD_RS, (SHM,), 'ntpd-rs reads type = "sock" alone'),
        (Consumer.CHRONY, (), 'chrony reads type = "shm" and type = "sock"'),
    ],
)
def test_a_consumer_that_can_read_nothing_is_an_error(
    consumer: Consumer, refclocks: tuple[RefclockSpec, ...], remedy: str
) -> None:
    with pytest.raises(ConsumerError, match=remedy):
        consumer_lines(Config(PEERS, refclocks), consumer)


def test_an_output_of_one_peer_has_that_peers_figures() -> None:
    config = Config(
        (
            peer(PeerParameters("a", minpoll=0, maxpoll=2, noselect=True)),
            peer(PeerParameters("b", root_delay=0.25, root_dispersion=0.5)),
        ),
        (RefclockSpec(ShmParameters(2), "a"), RefclockSpec(ShmParameters(3), "b")),
    )
    assert consumer_lines(config, Consumer.NTPSEC)[1:5] == [
        "# what a measures",
        "refclock shm unit 2 refid WEB minpoll 3 maxpoll 3",
        "# what b measures",
        "refclock shm unit 3 refid WEB2 minpoll 4 maxpoll 6",
    ]
    chrony = code(config, Consumer.CHRONY)
    assert chrony[0].endswith("poll 2 dpoll 0 filter 1 delay 0.05 precision 0.001")
    assert chrony[1].endswith("poll 6 dpoll 0 filter 1 delay 0.3 precision 0.5")


def test_a_peer_without_a_vote_does_not_slow_the_consumer_down() -> None:
    slow = peer(PeerParameters("slow", minpoll=10, maxpoll=12, noselect=True))
    (line,) = code(Config((*PEERS, slow), (SHM,)), Consumer.NTPSEC)
    assert line.endswith("minpoll 5 maxpoll 8")


def test_without_peers_the_polls_are_the_usual_ones() -> None:
    (line,) = code(Config((), (SHM,)), Consumer.NTPSEC)
    assert line.endswith("minpoll 4 maxpoll 6")


def test_every_refid_is_another_of_at_most_four_characters() -> None:
    config = Config(PEERS, tuple(RefclockSpec(ShmParameters(unit)) for unit in range(256)))
    refids = [line.split()[5] for line in code(config, Consumer.NTPSEC)]
    assert len(set(refids)) == 256
    assert all(1 <= len(refid) <= 4 for refid in refids)
