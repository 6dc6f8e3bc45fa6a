"""A daemon that may open few descriptors, while clients and scrapes want more."""

import subprocess
import sys

import pytest

from tests.system.daemons import Daemon, configure
from tests.system.harness import Sandbox, eventually, require

pytestmark = pytest.mark.system

SERVER = "127.0.0.1:8001"
METRICS = "127.0.0.1:9976"
DESCRIPTORS = 48
HOLD = """
import socket, time
ports = [8001] * {clients} + [9976] * {scrapes}
held = [socket.create_connection(("127.0.0.1", port)) for port in ports]
print("held", flush=True)
time.sleep(1000)
"""


def get(sandbox: Sandbox, address: str, path: str) -> subprocess.CompletedProcess[str]:
    curl = (require("curl"), "--silent", "--fail", "--max-time", "5")
    return sandbox.attempt(*curl, f"http://{address}{path}")


@pytest.mark.parametrize(("clients", "scrapes"), [(34, 1), (34, 30), (100, 0)])
def test_the_daemon_outlives_a_shortage_of_descriptors(
    sandbox: Sandbox, clients: int, scrapes: int
) -> None:
    sections = (
        f'[server]\nlisten = ["{SERVER}"]\nlocal = true\nrequest_time = 1000.0',
        f'[metrics]\nlisten = "{METRICS}"',
        '[leap]\nurl = ""',
    )
    path = configure(sandbox, [], *sections)
    daemon = Daemon(sandbox, "run", "run", "--config", path, descriptors=DESCRIPTORS)
    script = HOLD.format(clients=clients, scrapes=scrapes)
    holder = sandbox.start(sys.executable, "-c", script)
    eventually(lambda: "held" in holder.output, "the clients are connected")
    assert get(sandbox, SERVER, "/").returncode == 0  # an idle connection makes room
    for _ in range(3):
        get(sandbox, METRICS, "/metrics")  # it may be refused
    seen = daemon.says("WATCHDOG=1", after=len(daemon.said))
    holder.stop()

    def scraped() -> bool:
        return "webntpd_server_requests_total" in get(sandbox, METRICS, "/metrics").stdout

    eventually(scraped, "a scrape is answered again")
    assert '"st":' in get(sandbox, SERVER, "/").stdout
    daemon.says("WATCHDOG=1", after=seen)
    assert daemon.said.count("READY=1") == 1
