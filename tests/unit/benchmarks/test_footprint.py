"""benchmarks.footprint: from counters to figures and verdicts, and the daemons that it watches."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.common.marks import Mark
from benchmarks.footprint.daemons import webntpd
from benchmarks.footprint.mailbox import Mailbox, empty_for, mailbox
from benchmarks.footprint.marks import MIB, marks
from benchmarks.footprint.report import report
from benchmarks.footprint.results import (
    CHRONYD,
    CHRONYD_IDLE,
    IDLE,
    POLLING,
    SCRAPED,
    SERVING,
    Results,
)
from benchmarks.footprint.scraping import scraping
from benchmarks.footprint.startup import BARE, DAEMON, INTERPRETER, STATUS, YARDSTICK
from benchmarks.footprint.steady import Usage, usages

WIDTH = 100


def usage(cpu: float = 0.1, wake_ups: int = 200, resident: int = 50 * MIB) -> Usage:
    return Usage(100.0, cpu, wake_ups, resident, resident // 2)


def results(
    polling: Usage, *, scraped: float = 0.1, status: float = 0.06, chronyd: bool = True
) -> Results:
    found = {
        POLLING: polling,
        IDLE: usage(cpu=0.02, wake_ups=10),
        SCRAPED: usage(cpu=scraped),
        SERVING: usage(),
    }
    polls = {POLLING: 25.0}
    start_ups = {DAEMON: 0.5, STATUS: status, INTERPRETER: 0.02, BARE: 0.01}
    if chronyd:
        found |= {CHRONYD: usage(cpu=0.01), CHRONYD_IDLE: usage(cpu=0.0, wake_ups=0)}
        polls[CHRONYD] = 50.0
        start_ups[YARDSTICK] = 0.005
    return Results(found, polls, start_ups)


def verdict(found: Results, wanted: str) -> bool | None:
    matching: list[Mark] = [each for each in marks(found) if wanted in each.wanted]
    assert len(matching) == 1
    return matching[0].met


def test_rates_are_of_the_time_that_was_watched() -> None:
    assert usage(cpu=0.1, wake_ups=200).share == pytest.approx(0.001)
    assert usage(cpu=0.1, wake_ups=200).wake_up_rate == pytest.approx(2.0)


def test_a_poll_costs_what_being_there_does_not() -> None:
    cost = results(usage(cpu=0.12, wake_ups=210)).cost(POLLING, IDLE)
    assert cost is not None
    assert cost.cpu == pytest.approx(0.004)
    assert cost.wake_ups == pytest.approx(8.0)


def test_what_made_no_polls_has_no_cost() -> None:
    assert results(usage(), chronyd=False).cost(CHRONYD, CHRONYD_IDLE) is None


def test_marks_are_met_up_to_their_bounds() -> None:
    assert verdict(results(usage(resident=60 * MIB)), "memory") is True
    assert verdict(results(usage(resident=60 * MIB + 1)), "memory") is False
    assert verdict(results(usage(cpu=0.199)), "4 peers") is True
    assert verdict(results(usage(cpu=0.2)), "4 peers") is False
    assert verdict(results(usage(), scraped=1.019), "scrape") is True
    assert verdict(results(usage(), scraped=1.021), "scrape") is False
    assert verdict(results(usage(), status=0.209), "status") is True
    assert verdict(results(usage(), status=0.211), "status") is False


@pytest.mark.parametrize("chronyd", [True, False])
def test_the_report_fits_and_shows_all(*, chronyd: bool) -> None:
    found = results(usage(cpu=0.3), chronyd=chronyd)
    lines = list(report(found, marks(found)))
    assert max(map(len, lines)) <= WIDTH
    assert any(line.endswith("MISSED") for line in lines)
    for name in (*found.usages, *found.start_ups):
        assert any(line.startswith(name) for line in lines)
    assert any(line.startswith("chronyd") for line in lines) is chronyd


def test_the_results_are_json() -> None:
    document = json.loads(json.dumps(results(usage()).as_dict()))
    assert document["usages"][POLLING]["cpu"] == 0.1
    assert document["costs"]["chronyd"]["cpu"] == pytest.approx(0.0002)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Mailbox]:
    with mailbox(tmp_path / "box") as made:
        yield made


def test_a_mailbox_is_emptied_message_by_message(box: Mailbox) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(str(box.path))
        sender.send(b"one")
        sender.send(b"two")
        assert box.wait(10.0) == [b"one", b"two"]
        assert box.take() == []
        sender.send(b"three")
    empty_for(0.01, [box])
    assert box.take() == []


def test_a_daemon_is_watched_and_asked() -> None:
    with webntpd('[server]\nlisten = ["127.0.0.1:0"]\nlocal = true') as daemon:
        assert daemon.started > 0
        assert daemon.samples() == 0
        found = usages({"it": daemon.process}, 0.01, [daemon.manager])["it"]
        assert found.seconds >= 0.01
        assert 0 < found.proportional <= found.resident
        assert found.wake_ups >= 0


def test_a_scrape_that_fails_is_told_in_the_end() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = "{}:{}".format(*nobody.getsockname())
        with pytest.raises(OSError, match="refused"), scraping(address):
            pass
