"""The packaged server asks the kernel whether its clock is right, and says so to its clients."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boot import parts
from tests.boot.machine import READS_THE_CLOCK, Machine, booted, copied
from tests.boot.parts import SERVER_CONFIG

SERVER = """
[server]
listen = ["127.0.0.1:8080"]
require_sync = true
"""
QUERY = ("webntpd", "query", "--samples=1", "http://127.0.0.1:8080/")

ASK = "import ctypes; print(ctypes.CDLL(None).ntp_adjtime(bytes(512)))"
UNSYNCHRONISED = "5"  # TIME_ERROR of <sys/timex.h>
# The kernel of the machine that runs the tests may have no daemon that disciplines it. So the
# service calls the kernel within its own sandbox, but takes each answer for TIME_OK.
SYNCHRONISED_KERNEL = """
from webntpd.cli.main import main
from webntpd.clock import adjtime

real = adjtime.ntp_adjtime

def ntp_adjtime(reference):
    answer = real(reference)
    if answer < 0:
        return answer
    reference._obj.maxerror = 1000
    return 0

adjtime.ntp_adjtime = ntp_adjtime
raise SystemExit(main())
"""
DROP_IN = f"""
[Service]
ExecStart=
ExecStart=/usr/bin/python3 /opt/synchronised.py run --config {SERVER_CONFIG}
"""


@pytest.fixture(scope="module")
def running(image: Path) -> Iterator[Machine]:
    with copied(image) as root, booted(root, READS_THE_CLOCK) as machine:
        yield machine


def test_no_user_of_this_machine_can_set_the_clock_either(machine: Machine) -> None:
    assert "Operation not permitted" in machine.attempt("date", "--set=now").stdout
    capabilities = machine.run("cat", "/proc/1/status").partition("CapBnd:")[2].split()[0]
    assert not int(capabilities, 16) & 1 << 25  # CAP_SYS_TIME


def test_a_server_tells_the_kernels_view_of_its_clock(machine: Machine) -> None:
    machine.write(SERVER_CONFIG, SERVER)
    machine.run("systemctl", "start", "webntpd-server")
    machine.says("webntpd-server", "serving time on 127.0.0.1:8080")
    synchronised = machine.run("python3", "-c", ASK).strip() != UNSYNCHRONISED
    answer = machine.attempt(*QUERY)
    assert (answer.returncode == 0) == synchronised, answer.stdout
    assert "the kernel does not tell" not in machine.journal("webntpd-server")


def test_a_server_on_a_synchronised_kernel_tells_the_time(machine: Machine) -> None:
    machine.write(SERVER_CONFIG, SERVER)
    machine.write("/opt/synchronised.py", SYNCHRONISED_KERNEL)
    parts.drop_in(machine, "webntpd-server.service", DROP_IN)
    machine.run("systemctl", "start", "webntpd-server")
    machine.run(*QUERY)
