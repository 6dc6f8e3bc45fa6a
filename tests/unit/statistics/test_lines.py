"""The lines of ntpd's statistics files."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import reading
from tests.unit.status.snapshots import (
    GOOD,
    MEASURED,
    NOW_NS,
    SYNCHRONISED,
    WALL_NS,
    ago,
    peer_estimates,
    reports,
)
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import PeerEstimate, Tally
from webntpd.ntp.readings import NS_PER_S
from webntpd.statistics.lines import (
    File,
    PeerLine,
    Recorder,
    ntp_time,
    parse_peerstats,
    peerstats_line,
    rawstats_line,
    source,
    when,
)
from webntpd.status.snapshot import PeerStatus, Status

DAY_NS = 86_400 * NS_PER_S


def snapshot(*reports: PeerReport) -> Status:
    peers = tuple(PeerStatus(report, "http", Tally.SURVIVOR, MEASURED) for report in reports)
    return replace(SYNCHRONISED, peers=peers)


# -- the fields ------------------------------------------------------------------------------


def test_a_day_is_a_modified_julian_date_and_a_second_to_the_millisecond() -> None:
    assert when(0) == "40587 0.000"
    # The example of ntpd's manual: 1992-06-02, 03:00:47.650.
    assert when(((48_773 - 40_587) * 86_400_000 + 10_847_650) * 10**6) == "48773 10847.650"
    assert when(DAY_NS - 1) == "40587 86399.999"  # and never 86400.000
    assert when(DAY_NS) == "40588 0.000"


def test_a_timestamp_is_seconds_since_1900_until_they_begin_anew() -> None:
    assert ntp_time(0) == "2208988800.000000000"
    assert ntp_time(1_356_561_774_400_229_473) == "3565550574.400229473"
    assert ntp_time((2**32 - 2_208_988_800) * NS_PER_S + 7) == "0.000000007"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("time.example.org", "WEB(time.example.org)"),
        ("wss://time.example.org/", "WEB(wss:time.example.org)"),
        ("https://time.example.org:8443/api", "WEB(https:time.example.org:8443-api)"),
        ("http://[::1]:80/", "WEB(http:[::1]:80)"),
        ("my 'own' server", "WEB(my-own-server)"),
        ("127.0.0.1", "WEB(127.0.0.1)"),
    ],
)
def test_a_name_is_one_field_and_no_hosts_name(name: str, field: str) -> None:
    assert source(name) == field


@given(st.text(min_size=1))
def test_whatever_the_name_its_field_is_safe_in_file_names_and_quotes(name: str) -> None:
    field = source(name)
    assert len(field.split()) == 1
    assert not set(field) & set("/'\"\\%<>")


# -- the lines -------------------------------------------------------------------------------


def test_a_line_of_peerstats() -> None:
    peer = PeerStatus(GOOD, "websocket", Tally.SYSTEM_PEER, MEASURED)
    assert peerstats_line(peer, MEASURED, SYNCHRONISED) == (
        "60262 80000.000 WEB(wss:time.example.org) 9604"
        " -0.000123000 0.012000000 0.000100000 0.000004500"
    )


@pytest.mark.parametrize(
    ("tally", "word"),
    [
        (Tally.UNFIT, "9004"),
        (Tally.FALSETICKER, "9104"),
        (Tally.OUTLIER, "9304"),
        (Tally.SURVIVOR, "9404"),
        (Tally.SYSTEM_PEER, "9604"),
    ],
)
def test_the_status_word_is_that_of_ntpq(tally: Tally, word: str) -> None:
    line = peerstats_line(PeerStatus(GOOD, "websocket", tally), MEASURED, SYNCHRONISED)
    assert line.split()[3] == word


def test_a_line_of_rawstats() -> None:
    made = reading(0.5, offset=0.25, delay=0.5, precision=1e-6, max_error=0.004)
    assert rawstats_line(GOOD, made) == (
        "60262 80000.500 WEB(wss:time.example.org) 0.0.0.0"
        " 3908988800.000000000 3908988800.500000000 3908988800.500000000 3908988800.500000000"
        " 0 4 4 0 4 -19 0.000000 0.004000 .WEB."
    )
    assert rawstats_line(GOOD, replace(made, max_error=None)).endswith(" 0.000000 .WEB.")


@given(reports, peer_estimates)
def test_a_line_of_peerstats_is_read_as_it_was_written(
    report: PeerReport, estimate: PeerEstimate
) -> None:
    peer = PeerStatus(report, "http", Tally.SURVIVOR, estimate)
    line = peerstats_line(peer, estimate, SYNCHRONISED)
    record = parse_peerstats(line)
    assert record is not None
    assert record.at == WALL_NS / NS_PER_S
    assert record.source == source(report.name)
    assert record.offset == pytest.approx(SYNCHRONISED.offset(estimate), abs=1e-9)
    for name in ("delay", "dispersion", "jitter"):
        assert getattr(record, name) == pytest.approx(getattr(estimate, name), abs=1e-9)


def test_the_lines_of_ntpd_itself_are_read() -> None:
    line = "48773 10847.650 127.127.4.1 9714 -0.001605376 0.000000000 0.001424877 0.000958674"
    at = (48_773 - 40_587) * 86_400 + 10_847.650
    record = PeerLine(at, "127.127.4.1", -0.001605376, 0.0, 0.001424877, 0.000958674)
    assert parse_peerstats(line) == record
    assert parse_peerstats(f"{line} more\n") == record


@pytest.mark.parametrize(
    "line",
    [
        "",
        "48773",
        "48773 10847.650 127.127.4.1 9714 -0.001605376 0.000000000 0.001424877",
        "48773 10847.650 127.127.4.1 9714 -0.001605376 0.000000000 0.001424877 x",
        "48773.5 10847.650 127.127.4.1 9714 -0.001605376 0.000000000 0.001424877 0.000958674",
    ],
)
def test_what_is_no_line_of_peerstats_is_none(line: str) -> None:
    assert parse_peerstats(line) is None


@given(st.text())
def test_any_text_is_a_record_or_none(text: str) -> None:
    assert parse_peerstats(text) is None or len(text.split()) >= 8


# -- what is new in a snapshot ---------------------------------------------------------------


def test_a_fresh_estimate_is_recorded_once_as_of_the_snapshot() -> None:
    recorder = Recorder()
    (record,) = recorder.new_in(snapshot(GOOD))
    assert record.file is File.PEERSTATS
    assert record.wall_ns == WALL_NS
    assert record.line.startswith("60262 80000.000 ")
    # The snapshot that another peer caused shows this one's report again.
    later = replace(snapshot(GOOD), at_ns=NOW_NS + NS_PER_S, wall_ns=WALL_NS + NS_PER_S)
    assert recorder.new_in(later) == []


def test_an_estimate_that_is_not_fresh_or_not_there_is_not_recorded() -> None:
    waiting = replace(GOOD, fresh=False)
    assert Recorder().new_in(snapshot(waiting)) == []
    none = PeerStatus(GOOD, "http", Tally.SURVIVOR)
    assert Recorder().new_in(replace(SYNCHRONISED, peers=(none,))) == []


def test_the_estimate_of_a_newer_report_is_recorded() -> None:
    recorder = Recorder()
    recorder.new_in(snapshot(GOOD))
    newer = replace(GOOD, at_ns=ago(3))
    assert len(recorder.new_in(snapshot(newer))) == 1
    assert recorder.new_in(snapshot(GOOD)) == []


def test_each_sample_is_recorded_once_and_before_the_estimate_made_of_it() -> None:
    recorder = Recorder()
    first, second, third = map(reading, range(3))
    report = replace(GOOD, readings=(first, second))
    files = [record.file for record in recorder.new_in(snapshot(report))]
    assert files == [File.RAWSTATS, File.RAWSTATS, File.PEERSTATS]
    other = replace(GOOD, name="other")
    assert len(recorder.new_in(snapshot(report, other))) == 1
    assert len(recorder.new_in(snapshot(replace(report, readings=(third,))))) == 1


def test_peers_are_recorded_apart() -> None:
    sample = reading(0)
    reports = [replace(GOOD, name=name, fresh=False, readings=(sample,)) for name in "ab"]
    lines = [record.line for record in Recorder().new_in(snapshot(*reports))]
    assert [line.split()[2] for line in lines] == ["WEB(a)", "WEB(b)"]
