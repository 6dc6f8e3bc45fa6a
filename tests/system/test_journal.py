"""The real systemd-journald takes our lines with their fields."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.harness import PATIENCE, ROOT, not_installed, require, require_root

JOURNALD = Path("/usr/lib/systemd/systemd-journald")

# Its own /run, which goes with the process: the machine's journal is not touched.
SCRIPT = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
setpriv --pdeathsig KILL "$1" >&2 &
trap "kill $!" EXIT
until [ -S /run/systemd/journal/socket ]; do sleep 0.1; done
"$2" -c '
import logging, sys
from webntpd.log.journal import JournalHandler
logger = logging.getLogger("webntpd.x")
logger.addHandler(JournalHandler(sys.stderr))
fields = {"event": "rejection", "peer": "one", "reason": "two\\nlines"}
logger.warning("peer %s: timeout", "one", extra={"fields": fields})
'
until journalctl --quiet --output json --directory /run/log/journal/* WEBNTPD_PEER=one | grep . ; do
    sleep 0.1
done
"""


@pytest.mark.system
def test_journald_has_the_fields_of_a_line() -> None:
    require_root()
    if not JOURNALD.exists():
        not_installed(JOURNALD.name)
    require("setpriv")
    done = subprocess.run(
        [require("unshare"), "--mount", "sh", "-ec", SCRIPT, "sh", JOURNALD, sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[0])
    assert line["MESSAGE"] == "peer one: timeout"
    assert line["PRIORITY"] == "4"
    assert line["SYSLOG_IDENTIFIER"] == "webntpd"
    assert line["WEBNTPD_EVENT"] == "rejection"
    assert line["WEBNTPD_REASON"] == "two\nlines"
