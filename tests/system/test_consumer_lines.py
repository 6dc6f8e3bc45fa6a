"""The real chronyd reads the lines that we print for it."""

import subprocess
from pathlib import Path

import pytest

from tests.system.harness import require
from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.consumers import Consumer, consumer_lines
from webntpd.exchange import ExchangeParameters, Kind
from webntpd.ntp.types import PeerParameters
from webntpd.refclock import ShmParameters, SockParameters

CONFIG = Config(
    (PeerSpec(ExchangeParameters("ws://a", Kind.WEBSOCKET), PeerParameters("a")),),
    (
        RefclockSpec(ShmParameters(2)),
        RefclockSpec(SockParameters(Path("/run/chrony/webntpd.sock"))),
        RefclockSpec(ShmParameters(3), "a"),
    ),
)


@pytest.mark.system
def test_chronyd_accepts_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "chrony.conf"
    file.write_text("\n".join(consumer_lines(CONFIG, Consumer.CHRONY)) + "\n")
    # -p prints the configuration and ends; an option that it does not know is an error.
    printed = subprocess.run(
        [require("chronyd"), "-p", "-f", str(file)], capture_output=True, text=True, check=False
    )
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.count("refclock ") == 3
