"""Each refclock against the real programs that read it, with nothing else of the daemon."""

import re
import sys

import pytest

from tests.system.consumers import UNIT, Chrony, NtpSec, wait_until_they_believe
from tests.system.harness import Sandbox, eventually, require

pytestmark = pytest.mark.system


def publish(sandbox: Sandbox, output: object, offset: float) -> None:
    arguments = ("-m", "tests.system.publisher", str(output), str(offset))
    publisher = sandbox.start(sys.executable, *arguments)
    eventually(lambda: "ready" in publisher.output, "the publisher")


@pytest.mark.parametrize("offset", [0.25, -0.25])
def test_every_consumer_reads_the_offset(sandbox: Sandbox, offset: float) -> None:
    path = sandbox.path / "chrony.sock"
    by_sock = Chrony.by_sock(sandbox, path)
    for output in (2, 3, path):
        publish(sandbox, output, offset)
    wait_until_they_believe(offset, Chrony.by_shm(sandbox, 2), NtpSec(sandbox, 3), by_sock)


def test_ntpshmmon_reads_every_field(sandbox: Sandbox) -> None:
    monitor = require("ntpshmmon")
    publish(sandbox, UNIT, -0.25)
    line = re.compile(r"^sample NTP2 +(\S+) +(\S+) +(\S+) +(\S+) +(\S+)$", re.MULTILINE)
    samples = line.findall(sandbox.run(monitor, "-o", "-n", "3", "-t", "20"))
    assert len(samples) == 3
    for offset, receive, clock, leap, precision in samples:
        assert nanoseconds(clock) - nanoseconds(receive) == -250_000_000
        assert offset == "0.250000000"  # as chronyc: positive when the local clock is ahead
        assert (leap, precision) == ("0", "-9")


def nanoseconds(text: str) -> int:
    seconds, fraction = text.split(".")
    assert len(fraction) == 9
    return int(seconds) * 10**9 + int(fraction)
