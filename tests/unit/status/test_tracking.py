"""The system's offset and its outputs as text."""

from dataclasses import replace

import pytest

from tests.unit.status.snapshots import ESTIMATE, FREQUENCY, SYNCHRONISED, WALL_NS, x_ns
from webntpd.ntp.estimates import NoEstimate, Verdict
from webntpd.status.snapshot import RefclockStatus
from webntpd.status.tracking import EXPECTATION, sense, tracking_lines


def test_it_shows_the_offset_with_its_bound_and_what_each_output_got() -> None:
    assert tracking_lines(SYNCHRONISED) == [
        "System peer    : wss://time.example.org/",
        "System offset  : -123.0 µs ± 6.650 ms, the local clock is ahead",
        "Jitter         : 4.5 µs",
        "Measured       : 12 s ago",
        "Leap warning   : insert",
        "Survivors      : wss://time.example.org/",
        "Frequency      : 12.500 ppm slow, uncertain by 0.020 ppm",
        "Reachable      : 1 of 2 peers",
        "Leap list      : expires in 100 days",
        "Running for    : 121m",
        "",
        "Refclock       : SHM(2)",
        "Published      : 7 samples, 3 not consumed",
        "Last sample    : -123.0 µs ± 6.500 ms, 10 s ago",
        "Before that    : consumed",
        "",
        "Refclock       : SOCK(/run/chrony/webntpd.sock)",
        "Published      : 0 samples, 0 not consumed",
        "Failures       : 2",
        "Problem        : nobody is there",
        "",
        "Server         : 1 connections open, 2 accepted",
        "Answered       : 3 requests, 4 messages, 5 refused",
    ]


def test_a_server_without_peers_shows_the_server_alone() -> None:
    status = replace(SYNCHRONISED, verdict=Verdict(NoEstimate.NO_PEER, {}), peers=(), refclocks=())
    assert tracking_lines(status) == [
        "Leap list      : expires in 100 days",
        "Running for    : 121m",
        "",
        "Server         : 1 connections open, 2 accepted",
        "Answered       : 3 requests, 4 messages, 5 refused",
    ]


@pytest.mark.parametrize(("published", "said"), [(0, False), (1, True), (4, True), (5, False)])
def test_after_the_first_samples_it_tells_how_consumers_begin(published: int, said: bool) -> None:
    status = replace(SYNCHRONISED, refclocks=(RefclockStatus("SHM(2)", published),))
    lines = [line for line in tracking_lines(status) if line.startswith("Expect ")]
    assert lines == ([f"Expect         : {EXPECTATION}"] if said else [])
    assert "until then chrony shows #?, NTPsec and ntpd a blank, ntpd-rs stratum 16" in EXPECTATION


def test_the_reason_for_no_offset_stands_in_its_place() -> None:
    status = replace(SYNCHRONISED, verdict=Verdict(NoEstimate.NO_MAJORITY, {}), refclocks=())
    assert tracking_lines(status)[0] == "System offset  : none: no majority of the peers agrees"


def test_the_frequency_is_shown_without_an_offset_too() -> None:
    verdict = Verdict(NoEstimate.NO_MAJORITY, {}, frequency=FREQUENCY)
    lines = tracking_lines(replace(SYNCHRONISED, verdict=verdict))
    assert lines[1] == "Frequency      : 12.500 ppm slow, uncertain by 0.020 ppm"
    unknown = replace(SYNCHRONISED, verdict=Verdict(NoEstimate.WAITING, {}))
    assert tracking_lines(unknown)[1] == "Frequency      : not known yet"


def test_the_leap_list_is_shown_only_if_there_is_one() -> None:
    text = "\n".join(tracking_lines(replace(SYNCHRONISED, leap_expires_ns=None)))
    assert "Leap list" not in text
    text = "\n".join(tracking_lines(replace(SYNCHRONISED, leap_expires_ns=WALL_NS)))
    assert "Leap list      : expired" in text


@pytest.mark.parametrize(
    ("consumed", "text"),
    [
        (True, "consumed"),
        (False, "not consumed: is a consumer reading?"),
        (None, "not known whether the consumer took it"),
    ],
)
def test_what_became_of_the_sample_before_the_last(consumed: bool | None, text: str) -> None:
    refclock = RefclockStatus("SHM(2)", last=SYNCHRONISED.refclocks[0].last, consumed=consumed)
    lines = tracking_lines(replace(SYNCHRONISED, refclocks=(refclock,), server=None))
    assert lines[-1] == f"Before that    : {text}"


@pytest.mark.parametrize(("offset", "text"), [(0.1, "behind"), (-0.1, "ahead"), (0.0, "right")])
def test_the_sign_is_put_into_words(offset: float, text: str) -> None:
    assert sense(offset) == f"the local clock is {text}"
    status = replace(SYNCHRONISED, verdict=Verdict(replace(ESTIMATE, x_ns=x_ns(offset, 10)), {}))
    assert tracking_lines(status)[1].endswith(text)
