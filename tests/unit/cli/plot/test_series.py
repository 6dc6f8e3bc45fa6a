"""What there is to draw, from the statistics files of a directory."""

import os
from math import isnan
from pathlib import Path

import pytest

from webntpd.cli.plot.series import TINY, error_bound, offset_range, read_peerstats, with_gaps
from webntpd.statistics.lines import PeerLine

NOON = (60_000 - 40_587) * 86_400.0 + 43_200


def record(at: float, offset: float = 0.0, *, delay: float = 0.0) -> PeerLine:
    return PeerLine(at, "a", offset, delay, dispersion=0.0, jitter=0.0)


def line(second: float, source: str = "a", offset: float = 0.0) -> str:
    return f"60000 {second} {source} 9604 {offset} 0.1 0.2 0.3\n"


def offsets(records: list[PeerLine]) -> list[float]:
    return [each.offset for each in records]


# -- reading ---------------------------------------------------------------------------------


def test_the_records_of_all_days_are_put_in_order_for_each_source(tmp_path: Path) -> None:
    (tmp_path / "peerstats.20230226").write_text(line(43_202, "b", 3) + line(43_201, "a", 2))
    (tmp_path / "peerstats.20230225").write_text(line(43_200, "a", 1))
    series = read_peerstats(tmp_path, 0)
    assert {source: offsets([*records]) for source, records in series.items()} == {
        "a": [1, 2],
        "b": [3],
    }
    assert series["a"][0] == PeerLine(NOON, "a", 1.0, 0.1, 0.2, 0.3)


def test_what_is_no_line_of_peerstats_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "peerstats.20230225").write_bytes(b"nonsense\n\xff\xfe\n" + line(1).encode())
    (tmp_path / "rawstats.20230225").write_text(line(2))
    (tmp_path / "peerstats").write_text(line(3))  # ntpd's link to the present day's
    assert len(read_peerstats(tmp_path, 0)["a"]) == 1


def test_what_is_too_old_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "peerstats.20230225"
    path.write_text(line(43_200, offset=1) + line(43_201, offset=2))
    assert offsets([*read_peerstats(tmp_path, NOON + 1)["a"]]) == [2]
    os.utime(path, (NOON, NOON))
    assert read_peerstats(tmp_path, NOON + 1) == {}


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_peerstats(tmp_path / "missing", 0)


# -- gaps ------------------------------------------------------------------------------------


def test_an_outage_breaks_the_line() -> None:
    records = [record(at) for at in (0, 64, 128, 1000, 1064)]
    made = with_gaps(records)
    assert [each for each in made if not isnan(each.offset)] == records
    (gap,) = (each for each in made if isnan(each.offset))
    assert made.index(gap) == 3
    assert gap.at == 564
    assert isnan(error_bound(gap))


@pytest.mark.parametrize("count", [0, 1, 2, 9])
def test_without_an_outage_nothing_is_added(count: int) -> None:
    records = [record(64.0 * number) for number in range(count)]
    assert with_gaps(records) == records


def test_a_missed_poll_is_no_outage() -> None:
    records = [record(at) for at in (0, 64, 128, 256, 320)]
    assert with_gaps(records) == records


# -- the range of offsets --------------------------------------------------------------------


def test_the_bound_of_an_error_is_half_the_delay_and_the_rest() -> None:
    assert error_bound(PeerLine(0, "a", 9, 4, 0.5, 0.25)) == 2.75


def test_every_offset_and_the_narrowest_band_are_in_the_picture() -> None:
    series = {
        "near": [record(0, 0.1, delay=0.4), record(1, 0.2, delay=0.4)],
        "far": [record(0, 0.5, delay=40), record(1, -0.3, delay=40)],
    }
    least, greatest = offset_range(series)
    assert -0.5 < least < -0.3
    assert 0.5 < greatest < 0.7


def test_a_gap_has_no_say_in_the_range() -> None:
    records = with_gaps([record(at, 0.1, delay=0.2) for at in (0, 1, 2, 90)])
    assert offset_range({"a": records}) == pytest.approx((-0.01, 0.21))


def test_a_range_without_width_gets_one() -> None:
    assert offset_range({"a": [record(0, 0.5)]}) == (0.5 - TINY, 0.5 + TINY)
