"""Which of the leap-seconds lists on disk is used."""

import logging
from pathlib import Path

import pytest

from tests.unit.leap.test_list import NTP_TO_UNIX, PUBLISHED, leap_file
from webntpd.exchange.leapfile import newest_leap_list
from webntpd.leap.list import parse_leap_list

NEWER = parse_leap_list(PUBLISHED)
ROWS = ["2272060800 10", "2287785600 11"]
OLDER = leap_file(ROWS, expires=str(NEWER.expires_ns // 10**9 + NTP_TO_UNIX - 1))


@pytest.mark.parametrize(
    ("system", "fetched"),
    [
        (PUBLISHED, OLDER),
        (OLDER, PUBLISHED),
        (PUBLISHED, None),
        (None, PUBLISHED),
        (b"nonsense", PUBLISHED),
        (PUBLISHED, b"nonsense"),
    ],
)
def test_the_list_that_is_good_for_longer_is_used(
    tmp_path: Path, system: bytes | None, fetched: bytes | None
) -> None:
    paths = tmp_path / "system", tmp_path / "fetched"
    for path, data in zip(paths, (system, fetched), strict=True):
        if data is not None:
            path.write_bytes(data)
    assert newest_leap_list(*paths) == NEWER


def test_without_any_there_is_none(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert newest_leap_list(tmp_path / "a", tmp_path / "b") is None
    assert newest_leap_list(tmp_path / "a", None) is None
    assert caplog.text.count("no leap-seconds list") == 2
