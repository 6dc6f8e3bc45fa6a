"""The real consumers read the lines that we print for them."""

import subprocess
from pathlib import Path

import pytest

from tests.system.consumers import UNIT, NtpSec
from tests.system.harness import Sandbox, eventually, require
from webntpd.cli.consumers import Facts, Measured, consumer_lines
from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.exchange.base import ExchangeParameters
from webntpd.names import Consumer, Kind
from webntpd.ntp.parameters import PeerParameters
from webntpd.refclock.base import ShmParameters, SockParameters

CONFIG = Config(
    (PeerSpec(ExchangeParameters("ws://a", Kind.WEBSOCKET), PeerParameters("a")),),
    (
        RefclockSpec(ShmParameters(UNIT)),
        RefclockSpec(SockParameters(Path("/run/chrony.webntpd.sock"))),
        RefclockSpec(ShmParameters(3), "a"),
    ),
)
GUESSED = Facts(why_none="no daemon answers at /run/webntpd/control.sock")
MEASURED = Facts(Measured(8.12e-3, 3.21e-5, 1.6e-2), {"a": Measured(4e-6, 0.0, 2e-7)})

pytestmark = pytest.mark.system


def lines_for(consumer: Consumer, facts: Facts) -> str:
    return "\n".join(consumer_lines(CONFIG, consumer, facts)) + "\n"


@pytest.mark.parametrize("facts", [GUESSED, MEASURED], ids=["guessed", "measured"])
def test_chronyd_accepts_its_lines(tmp_path: Path, facts: Facts) -> None:
    file = tmp_path / "chrony.conf"
    file.write_text(lines_for(Consumer.CHRONY, facts))
    # -p prints the configuration and ends; an option that it does not know is an error.
    printed = subprocess.run(
        [require("chronyd"), "-p", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.count("refclock ") == 3


def test_ntpsec_accepts_its_lines(sandbox: Sandbox) -> None:
    ntpd = NtpSec(sandbox, refclocks=lines_for(Consumer.NTPSEC, GUESSED))
    eventually(ntpd.view, "the refclock in ntpq's table")
    assert "syntax error" not in ntpd.program.output
