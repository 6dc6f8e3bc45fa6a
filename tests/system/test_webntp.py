"""The `webntp` command as installed, with a server whose clock is wrong by a known amount."""

import re
import signal
import sys
from pathlib import Path

import pytest

from tests.system.consumers import UNIT
from tests.system.daemons import serve
from tests.system.harness import Sandbox, eventually, require

pytestmark = pytest.mark.system

WEBNTP = Path(sys.executable).with_name("webntp")
SHIFT = 0.25
SERVER = r"server (\S+), offset (-?\d+\.\d{6}), delay \d+\.\d{6}\n"
LAST = r"2\d{3}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0900 JST, server (\S+), offset (-?\d+\.\d{6})\n"
COUNT_AND_VALID = f"""
from webntpd.refclock import shm, sysvipc
segment = sysvipc.get(shm.KEY_BASE + {UNIT}, 0, 0)
time = shm.ShmTime.from_address(sysvipc.attach(segment))
print(time.count, time.valid)
"""


def test_it_prints_the_lines_of_the_reference(sandbox: Sandbox) -> None:
    address = serve(sandbox, 8001, SHIFT)
    urls = (f"http://{address}/", f"ws://{address}/")
    printed = sandbox.run(WEBNTP, "-p", "1", *urls, env={"TZ": "JST-9"})
    found = re.fullmatch(SERVER + SERVER + LAST, printed)
    assert found is not None, printed
    assert (found[1], found[3]) == urls
    assert found[5] in urls
    assert [float(found[n]) for n in (2, 4, 6)] == pytest.approx([SHIFT] * 3, abs=1e-3)


def test_its_server_tells_the_time(sandbox: Sandbox) -> None:
    address = "127.0.0.1:8001"
    server = sandbox.start(WEBNTP, "-serve", address, "-leap-second-path", sandbox.path / "leap")
    eventually(lambda: "serving time on" in server.output, "the server")
    assert f"server http://{address}/, " in sandbox.run(WEBNTP, "-p", "1", f"http://{address}/")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def count_and_valid(sandbox: Sandbox) -> tuple[int, bool]:
    """What the shared memory has: how often it was written, times two, and whether it is valid."""
    count, valid = map(int, sandbox.run(sys.executable, "-c", COUNT_AND_VALID).split())
    return count, bool(valid)


def test_it_feeds_shared_memory_and_takes_the_sample_back_in_the_end(sandbox: Sandbox) -> None:
    monitor = require("ntpshmmon")
    url = f"ws://{serve(sandbox, 8001, SHIFT)}/"
    program = sandbox.start(WEBNTP, "-p", "1", "-shm", str(UNIT), url)
    eventually(lambda: ", server " in program.output, "a round")
    assert count_and_valid(sandbox) == (2, True)
    # -o puts the offset first, with chronyc's sign.
    sample = re.search(
        r"^sample NTP2 +(\S+) ", sandbox.run(monitor, "-o", "-n", "1", "-t", "20"), re.MULTILINE
    )
    assert sample is not None
    assert float(sample[1]) == pytest.approx(-SHIFT, abs=1e-3)
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    assert count_and_valid(sandbox) == (2, False)


def test_where_nobody_answers_shared_memory_gets_nothing(sandbox: Sandbox) -> None:
    url = "http://127.0.0.1:8001/"
    program = sandbox.start(WEBNTP, "-p", "1", "-shm", str(UNIT), url)
    eventually(lambda: f"{url}: Error connect: " in program.output, "a round")
    program.signal(signal.SIGTERM)
    assert program.wait() == 0
    assert count_and_valid(sandbox) == (0, False)
