"""The demo, as `make run` starts it, seen by an independent reader of its shared memory."""

import re
import signal
import sys

import pytest

from tests.system.harness import Sandbox, eventually, require

SAMPLE = re.compile(r"^sample NTP2 +(\S+) ", re.MULTILINE)


@pytest.mark.system
def test_the_demo_shows_both_peers_and_feeds_the_shared_memory(sandbox: Sandbox) -> None:
    monitor = require("ntpshmmon")
    demo = sandbox.start(sys.executable, "-m", "webntpd", "run", "--demo")
    eventually(lambda: "2 of 2 peers reachable" in demo.output, "both peers")
    # -o puts the offset first, with chronyc's sign; here only its size matters.
    offsets = SAMPLE.findall(sandbox.run(monitor, "-o", "-n", "2", "-t", "20"))
    assert len(offsets) == 2
    assert all(abs(float(offset)) < 1e-3 for offset in offsets)
    demo.signal(signal.SIGINT)
    assert demo.wait() == 0
    assert "Traceback" not in demo.output
