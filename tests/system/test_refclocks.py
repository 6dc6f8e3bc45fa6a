"""Each refclock against the real programs that read it, with nothing else of the daemon."""

import re
import sys

import pytest

from tests.system.consumers import UNIT, Chrony, Consumer, NtpSec
from tests.system.harness import Sandbox, eventually, require

pytestmark = pytest.mark.system
either_sign = pytest.mark.parametrize("offset", [0.25, -0.25])


def publish(sandbox: Sandbox, output: object, offset: float) -> None:
    arguments = ("-m", "tests.system.publisher", str(output), str(offset))
    publisher = sandbox.start(sys.executable, *arguments)
    eventually(lambda: "ready" in publisher.output, "the publisher")


def believes(consumer: Consumer, offset: float) -> bool:
    view = consumer.view()
    return view is not None and view.agrees(offset)


@either_sign
def test_chronyd_reads_the_offset_from_shm(sandbox: Sandbox, offset: float) -> None:
    publish(sandbox, UNIT, offset)
    chrony = Chrony.by_shm(sandbox)
    eventually(lambda: believes(chrony, offset), f"chronyd believes {offset}")


@either_sign
def test_chronyd_reads_the_offset_from_its_socket(sandbox: Sandbox, offset: float) -> None:
    chrony, path = Chrony.by_sock(sandbox)
    publish(sandbox, path, offset)
    eventually(lambda: believes(chrony, offset), f"chronyd believes {offset}")


@either_sign
def test_ntpsec_reads_the_offset_from_shm(sandbox: Sandbox, offset: float) -> None:
    publish(sandbox, UNIT, offset)
    ntpd = NtpSec(sandbox)
    eventually(lambda: believes(ntpd, offset), f"ntpd believes {offset}")


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
