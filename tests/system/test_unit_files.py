"""This machine's systemd accepts the units; tests/boot asks Debian 13's."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.system.harness import ROOT, require

NEWER = re.compile("Unknown key (name )?'(RestartSteps|RestartMaxDelaySec)'")
"""Keys that came with systemd 254; Debian 12 has 252."""

pytestmark = pytest.mark.system


@pytest.mark.parametrize("unit", ["webntpd.service", "webntpd-server.service"])
def test_systemd_has_nothing_against_a_unit_but_keys_that_are_newer(
    unit: str, tmp_path: Path
) -> None:
    command = tmp_path / "webntpd"
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    text = (ROOT / "systemd" / unit).read_text().replace("/usr/bin/webntpd", str(command))
    (tmp_path / unit).write_text(text)
    verify = [require("systemd-analyze"), "verify", "--man=no", str(tmp_path / unit)]
    done = subprocess.run(verify, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if unit in line]
    assert [line for line in complaints if not NEWER.search(line)] == []
