"""The lines for the consumers."""

import json
import re
import socket
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.status import snapshots
from webntpd.cli.commands import facts_from, ntpd_rs_version
from webntpd.cli.consumers import (
    ConsumerError,
    Facts,
    Measured,
    bounds,
    consumer_lines,
    measurements,
)
from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.exchange.base import ExchangeParameters
from webntpd.names import Consumer, Kind
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.poll import interval_ns
from webntpd.ntp.readings import NS_PER_S
from webntpd.refclock.base import ShmParameters, SockParameters
from webntpd.status.json import document

SHM = RefclockSpec(ShmParameters(2))
SOCK_PATH = "/run/chrony.webntpd.sock"
SOCK = RefclockSpec(SockParameters(Path(SOCK_PATH)))
NTPD_RS_PATH = "/run/ntpd-rs/webntpd.sock"
NTPD_RS_SOCK = RefclockSpec(SockParameters(Path(NTPD_RS_PATH)))
UNKNOWN = Facts(why_none="no daemon answers at /run/x")


def peer(parameters: PeerParameters) -> PeerSpec:
    return PeerSpec(ExchangeParameters("ws://a", Kind.WEBSOCKET), parameters)


def polled(name: str, minpoll: int, maxpoll: int, **keys: Any) -> PeerSpec:
    return peer(PeerParameters(name, minpoll=minpoll, maxpoll=maxpoll, **keys))


def code(config: Config, consumer: Consumer, facts: Facts = UNKNOWN) -> list[str]:
    """The lines without the comments."""
    return [line for line in consumer_lines(config, consumer, facts) if not line.startswith("#")]


PEERS = (peer(PeerParameters("a")), peer(PeerParameters("b", minpoll=5, maxpoll=8)))


def test_chrony_reads_both_kinds() -> None:
    assert code(Config(PEERS, (SHM, SOCK)), Consumer.CHRONY) == [
        ("refclock SHM 2:perm=0600 refid WEB poll 4 dpoll 0 filter 1 delay 0.05 precision 0.001"),
        (
            "refclock SOCK /run/chrony.webntpd.sock refid WEB2 poll 4 filter 1"
            " delay 0.05 precision 0.001"
        ),
    ]


def test_ntpsec_names_the_driver() -> None:
    lines = code(Config(PEERS, (SHM,)), Consumer.NTPSEC)
    assert lines == ["refclock shm unit 2 refid WEB minpoll 9 maxpoll 9"]


def test_ntpd_has_an_address_for_the_driver() -> None:
    assert code(Config(PEERS, (SHM,)), Consumer.NTPD) == [
        "server 127.127.28.2 minpoll 9 maxpoll 9",
        "fudge 127.127.28.2 refid WEB flag1 1",
    ]


@pytest.mark.parametrize(
    ("version", "key", "value"),
    [
        (None, "precision", 5e-3),
        ((1, 4, 0), "measurement_noise_estimate", 2.5e-5),
        ((1, 5, 0), "precision", 5e-3),
        ((1, 9, 0), "precision", 5e-3),
        ((2, 0, 0), "precision", 5e-3),
    ],
)
def test_ntpd_rs_gets_toml_with_the_key_of_its_version(
    version: tuple[int, ...] | None, key: str, value: float
) -> None:
    lines = consumer_lines(Config(PEERS, (NTPD_RS_SOCK,)), Consumer.NTPD_RS, Facts(ntpd_rs=version))
    assert tomllib.loads("\n".join(lines)) == {
        "source": [{"mode": "sock", "path": NTPD_RS_PATH, key: value}]
    }
    other = any("measurement_noise_estimate = 2.5e-05" in line for line in lines)
    assert other == (version is None or version < (1, 5))


# -- the running daemon's measurements -------------------------------------------------------


def status(**changes: Any) -> dict[str, Any]:
    """The daemon's status with two peers that speak and two that do not."""

    def estimate(delay: float, **more: float) -> dict[str, float]:
        return {"error": 0.009, "jitter": 2e-4, "delay": delay, **more}

    return {
        "system": {"estimate": {"error": 0.00812, "jitter": 3.21e-5}},
        "peers": [
            {"name": "a", "tally": "system_peer", "estimate": estimate(0.01)},
            {"name": "b", "tally": "survivor", "estimate": estimate(0.02, root_delay=0.01)},
            {"name": "liar", "tally": "falseticker", "estimate": estimate(0.5)},
            {"name": "new", "tally": "unfit", "estimate": None},
        ],
    } | changes


def facts(of: dict[str, Any]) -> Facts:
    combined, peers = measurements(of)
    return Facts(combined, peers, source="the daemon at /run/x", why_none="no estimate yet")


def test_the_typical_round_trip_is_that_of_the_peers_that_speak() -> None:
    combined, peers = measurements(status())
    assert combined == Measured(0.00812, 3.21e-5, 0.02)
    assert peers["b"] == Measured(0.009, 2e-4, 0.03)
    assert set(peers) == {"a", "b", "liar"}


def test_chronys_bound_is_the_daemons() -> None:
    config = Config(PEERS, (SHM, RefclockSpec(ShmParameters(3), "b")))
    lines = consumer_lines(config, Consumer.CHRONY, facts(status()))
    assert lines[1:] == [
        (
            "# measured by the daemon at /run/x: error below 0.0082 s, jitter 3.3e-05 s,"
            " round trip 0.02 s"
        ),
        "refclock SHM 2:perm=0600 refid WEB poll 4 dpoll 0 filter 1 delay 0.02 precision 3.3e-05",
        "# what b measures",
        (
            "# measured by the daemon at /run/x: error below 0.009 s, jitter 0.0002 s,"
            " round trip 0.03 s"
        ),
        "refclock SHM 3:perm=0600 refid WEB2 poll 6 dpoll 0 filter 1 delay 0.03 precision 0.0002",
    ]


seconds = st.floats(0, 100)


@given(st.builds(Measured, seconds, seconds, seconds))
def test_chrony_never_believes_in_a_smaller_error_than_the_daemon(measured: Measured) -> None:
    delay, precision = bounds(measured)
    written_delay, written_precision = float(f"{delay:g}"), float(f"{precision:g}")
    assert written_delay / 2 + written_precision >= measured.error - 1e-12
    assert written_delay >= measured.delay
    assert written_precision >= max(measured.jitter, 1e-6)


def test_a_noisy_source_is_noisy_for_ntpd_rs_too() -> None:
    noisy = Facts(combined=Measured(0.1, 0.0123, 0.1))
    assert "precision = 0.013" in code(Config(PEERS, (NTPD_RS_SOCK,)), Consumer.NTPD_RS, noisy)


@pytest.mark.parametrize(
    "changes",
    [
        {"system": {"estimate": None}},
        {"system": {}},
        {"system": {"estimate": {"error": 1.0}}},
        {"peers": []},
        {"peers": [{"name": "a", "tally": "survivor", "estimate": {"delay": 1.0}}]},
    ],
)
def test_without_an_estimate_the_lines_are_guessed_and_say_so(changes: dict[str, Any]) -> None:
    lines = consumer_lines(Config(PEERS, (SHM,)), Consumer.CHRONY, facts(status(**changes)))
    assert lines[1] == "# guessed: no estimate yet"
    assert lines[2].endswith("delay 0.05 precision 0.001")
    assert measurements({}) == (None, {})


@pytest.mark.parametrize("consumer", [Consumer.CHRONY, Consumer.NTPD_RS])
def test_without_a_daemon_the_lines_are_guessed_and_say_so(consumer: Consumer) -> None:
    lines = consumer_lines(Config(PEERS, (NTPD_RS_SOCK,)), consumer, UNKNOWN)
    assert lines[1] == "# guessed: no daemon answers at /run/x"


def test_the_status_that_a_daemon_really_gives_is_understood() -> None:
    combined, peers = measurements(json.loads(json.dumps(document(snapshots.SYNCHRONISED))))
    assert combined is not None
    assert combined.error > 0
    assert peers


def listening(path: Path, reply: Mapping[str, Any]) -> threading.Thread:
    """A daemon's control socket that answers one request."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer() -> None:
        with server, server.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(json.dumps(reply).encode())

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def test_the_daemon_is_asked_at_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "s"
    daemon = listening(path, status())
    assert facts_from(path) == Facts(
        *measurements(status()),
        source=f"the daemon at {path}",
        why_none=f"the daemon at {path} has no estimate yet",
    )
    daemon.join()


def test_a_daemon_that_refuses_is_the_reason_for_guessing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    daemon = listening(path, {"error": "unknown view"})
    assert facts_from(path) == Facts(why_none=f"{path}: unknown view")
    daemon.join()


def test_a_daemon_that_is_not_there_is_the_reason_for_guessing(tmp_path: Path) -> None:
    path = tmp_path / "s"
    assert facts_from(path) == Facts(why_none=f"no daemon answers at {path}")
    assert "no control socket" in facts_from(None).why_none


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo ntp-ctl 1.4.0 >&2", (1, 4, 0)),
        ("echo ntp-ctl 1.10.2", (1, 10, 2)),
        ("echo no; exit 1", None),
        (None, None),
    ],
)
def test_the_installed_ntpd_rs_says_its_version(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    version: tuple[int, ...] | None,
) -> None:
    if script is not None:
        program = tmp_path / "ntp-ctl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ntpd_rs_version() == version


# -- polls -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("polls", "chrony", "ntpd"),
    [
        ([], 4, 7),
        ([(4, 6)], 4, 7),
        ([(6, 6)], 6, 7),
        ([(5, 5)], 5, 6),
        ([(4, 6), (6, 6), (6, 10)], 4, 11),
        ([(6, 10), (5, 10)], 6, 11),
        ([(10, 12)], 6, 13),
        ([(0, 2)], 2, 3),
        ([(0, 7)], 5, 8),
        ([(0, 8)], 6, 9),
        ([(0, 2), (4, 6)], 2, 7),
        ([(0, 1)], 1, 3),
        ([(17, 17)], 6, 17),
    ],
)
def test_the_consumers_poll_as_our_samples_come(
    polls: list[tuple[int, int]], chrony: int, ntpd: int
) -> None:
    peers = tuple(polled(str(number), *each) for number, each in enumerate(polls))
    config = Config(peers, (SHM,))
    (line,) = code(config, Consumer.CHRONY)
    assert f" poll {chrony} dpoll 0 filter 1 " in line
    (line,) = code(config, Consumer.NTPSEC)
    assert line.endswith(f" minpoll {ntpd} maxpoll {ntpd}")


@pytest.mark.parametrize("maxpoll", range(1, 17))
def test_the_longest_interval_brings_a_sample_to_every_poll_of_ntpd(maxpoll: int) -> None:
    (line,) = code(Config((polled("a", 0, maxpoll),), (SHM,)), Consumer.NTPSEC)
    longest_ns = interval_ns(maxpoll, lambda: 1.0)
    assert 2 ** int(line.split()[-1]) * NS_PER_S > longest_ns


# -- the rest --------------------------------------------------------------------------------


@pytest.mark.parametrize("consumer", Consumer)
def test_the_lines_begin_with_the_file_they_belong_to(consumer: Consumer) -> None:
    first, *_ = consumer_lines(Config(PEERS, (SHM, NTPD_RS_SOCK)), consumer, UNKNOWN)
    assert first.startswith("# /etc/")


@pytest.mark.parametrize(
    ("consumer", "other"),
    [
        (Consumer.NTPSEC, "# ntpsec cannot read SOCK /run/chrony.webntpd.sock"),
        (Consumer.NTPD, "# ntpd cannot read SOCK /run/chrony.webntpd.sock"),
        (Consumer.NTPD_RS, "# ntpd-rs cannot read SHM unit 2"),
        (Consumer.NTPD_RS, "# ntpd-rs cannot read SOCK /run/chrony.webntpd.sock"),
    ],
)
def test_an_output_of_the_other_kind_is_named(consumer: Consumer, other: str) -> None:
    config = Config(PEERS, (SHM, SOCK, NTPD_RS_SOCK))
    assert other in consumer_lines(config, consumer, UNKNOWN)


@pytest.mark.parametrize(
    ("consumer", "refclocks", "remedy"),
    [
        (Consumer.NTPSEC, (SOCK,), 'no [[refclock]] suits ntpsec: it needs type = "shm"'),
        (Consumer.NTPD, (SOCK,), 'no [[refclock]] suits ntpd: it needs type = "shm"'),
        (Consumer.NTPD_RS, (SHM,), 'no [[refclock]] suits ntpd-rs: it needs type = "sock"'),
        (Consumer.NTPD_RS, (SOCK,), f'it needs type = "sock" with path = "{NTPD_RS_PATH}"'),
        (Consumer.CHRONY, (), 'no [[refclock]] suits chrony: it needs type = "shm"'),
    ],
)
def test_a_consumer_that_can_read_nothing_is_an_error(
    consumer: Consumer, refclocks: tuple[RefclockSpec, ...], remedy: str
) -> None:
    with pytest.raises(ConsumerError, match=re.escape(remedy)):
        consumer_lines(Config(PEERS, refclocks), consumer, UNKNOWN)


def test_an_output_of_one_peer_has_that_peers_figures() -> None:
    config = Config(
        (
            polled("a", 0, 2, noselect=True),
            peer(PeerParameters("b", root_delay=0.25, root_dispersion=0.5)),
        ),
        (RefclockSpec(ShmParameters(2), "a"), RefclockSpec(ShmParameters(3), "b")),
    )
    assert consumer_lines(config, Consumer.NTPSEC, UNKNOWN)[1:5] == [
        "# what a measures",
        "refclock shm unit 2 refid WEB minpoll 3 maxpoll 3",
        "# what b measures",
        "refclock shm unit 3 refid WEB2 minpoll 7 maxpoll 7",
    ]
    chrony = code(config, Consumer.CHRONY)
    assert chrony[0].endswith("poll 2 dpoll 0 filter 1 delay 0.05 precision 0.001")
    assert chrony[1].endswith("poll 4 dpoll 0 filter 1 delay 0.3 precision 0.5")


def test_a_peer_without_a_vote_does_not_slow_the_consumer_down() -> None:
    config = Config((*PEERS, polled("slow", 10, 12, noselect=True)), (SHM,))
    assert code(config, Consumer.NTPSEC)[0].endswith("minpoll 9 maxpoll 9")


def test_every_refid_is_another_of_at_most_four_characters() -> None:
    config = Config(PEERS, tuple(RefclockSpec(ShmParameters(unit)) for unit in range(256)))
    refids = [line.split()[5] for line in code(config, Consumer.NTPSEC)]
    assert len(set(refids)) == 256
    assert all(1 <= len(refid) <= 4 for refid in refids)
