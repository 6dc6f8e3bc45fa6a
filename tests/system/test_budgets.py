"""100 000 hostile connections leave next to nothing behind in a real process."""

import sys

import pytest
import trustme

from tests.hostile import arena
from tests.hostile.watch import descriptors_of, rss_of
from tests.system.daemons import Daemon
from tests.system.harness import PATIENCE, Sandbox, eventually

pytestmark = pytest.mark.system

WARM_UP = {"quotes": 2500, "resets": 2000, "refused": 300, "handshakes": 200, "headers": 200}
CONNECTIONS = {"quotes": 20_000, "resets": 79_000, "handshakes": 500, "refused": 500}
GROWTH = 16 * 2**20
"""Most growth of the process after the first few connections of each kind, bytes."""
LINES = 5
"""Most log lines for all connections."""

CONFIGURATION = f"""\
[server]
listen = ["[{arena.SERVER}]:{arena.HTTP}"]
listen_tls = ["[{arena.SERVER}]:{arena.HTTPS}"]
certificate = "{{directory}}/certificate.pem"
{arena.PRIVATE}"""


def be_hostile(sandbox: Sandbox, counts: dict[str, int]) -> int:
    """Make so many connections of each kind, all kinds at once; return how many were made."""
    abusers = [
        sandbox.start(sys.executable, "-m", "tests.hostile.abuse", kind, str(count))
        for kind, count in counts.items()
    ]
    for abuser in abusers:
        assert abuser.wait(4 * PATIENCE) == 0, abuser.output
    return sum(counts.values())


def test_a_hundred_thousand_hostile_connections_leave_nothing_behind(sandbox: Sandbox) -> None:
    for command in arena.NETWORK_COMMANDS:
        sandbox.run(*command)
    certificate = trustme.CA().issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(sandbox.path / "certificate.pem")
    configuration = sandbox.path / "webntpd.toml"
    configuration.write_text(CONFIGURATION.format(directory=sandbox.path))
    daemon = Daemon(sandbox, "daemon", "run", "--config", configuration)
    pid = daemon.program.pid
    descriptors = descriptors_of(pid)
    be_hostile(sandbox, WARM_UP)
    eventually(lambda: descriptors_of(pid), "descriptors", lambda now: now <= descriptors)
    memory, lines = rss_of(pid), daemon.program.output.count("\n")

    assert be_hostile(sandbox, CONNECTIONS) >= 100_000

    eventually(lambda: descriptors_of(pid), "descriptors", lambda now: now <= descriptors)
    assert daemon.program.running
    assert rss_of(pid) - memory <= GROWTH
    assert daemon.program.output.count("\n") - lines <= LINES
