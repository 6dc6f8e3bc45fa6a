"""A disk that is full, where the fetched leap-seconds list is kept."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.harness import require, require_root
from tests.unit.exchange.test_leaplist import NEW, NOW, OLD, ok, serving
from tests.unit.leap.test_list import PUBLISHED
from webntpd.exchange.leaplist import LeapSource, renewed, replace

pytestmark = pytest.mark.system


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, with nothing on it."""
    require_root()
    mount, umount = require("mount"), require("umount")
    subprocess.run([mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path], check=True)
    try:
        yield tmp_path
    finally:
        subprocess.run([umount, tmp_path], check=True)


def fill(disk: Path) -> Path:
    """The file that takes up all that is left."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
    return filler


def names(disk: Path) -> set[str]:
    return {path.name for path in disk.iterdir()}


async def test_a_list_that_finds_no_room_is_used_all_the_same_and_the_old_file_stays(
    disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = disk / "leap-seconds.list"
    replace(cache, b"before")
    filler = fill(disk)
    async with serving(ok(PUBLISHED)) as url:
        assert await renewed(LeapSource(url, cache), OLD, NOW) == NEW
        (line,) = caplog.messages
        assert line == f"leap-seconds list cannot be kept in {cache}: No space left on device"
        assert names(disk) == {cache.name, filler.name}
        assert cache.read_bytes() == b"before"

        filler.unlink()
        assert await renewed(LeapSource(url, cache), OLD, NOW) == NEW
    assert cache.read_bytes() == PUBLISHED
