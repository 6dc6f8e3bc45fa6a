"""The real consumers read the lines that we print for them."""

import subprocess
from pathlib import Path

import pytest

from tests.system.consumers import UNIT, NtpSec
from tests.system.harness import Sandbox, eventually, require
from webntpd.choices import Consumer, Kind
from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.consumers import consumer_lines
from webntpd.exchange import ExchangeParameters
from webntpd.ntp.types import PeerParameters
from webntpd.refclock import ShmParameters, SockParameters

CONFIG = Config(
    (PeerSpec(ExchangeParameters("ws://a", Kind.WEBSOCKET), PeerParameters("a")),),
    (
        RefclockSpec(ShmParameters(UNIT)),
        RefclockSpec(SockParameters(Path("/run/chrony.webntpd.sock"))),
        RefclockSpec(ShmParameters(3), "a"),
    ),
)


pytestmark = pytest.mark.system


def test_chronyd_accepts_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "chrony.conf"
    file.write_text("\n".join(consumer_lines(CONFIG, Consumer.CHRONY)) + "\n")
    # -p prints the configuration and ends; an option that it does not know is an error.
    printed = subprocess.run(
        [require("chronyd"), "-p", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.count("refclock ") == 3


def test_ntpsec_accepts_its_lines(sandbox: Sandbox) -> None:
    ntpd = NtpSec(sandbox, refclocks="\n".join(consumer_lines(CONFIG, Consumer.NTPSEC)) + "\n")
    eventually(ntpd.view, "the refclock in ntpq's table")
    assert "syntax error" not in ntpd.program.output
