"""The image and compose.yaml: a server, and clients that feed consumers on the host."""

import json
import os
import re
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.container.engine import IMAGE, Container, Engine
from tests.system.consumers import Chrony, wait_until_they_believe
from tests.system.daemons import Peer, configure, shm, sock
from tests.system.harness import ROOT, eventually, require

pytestmark = pytest.mark.container

USER = 65532
SHIFT = 0.25  # s, by which the peer's clock is ahead
PEER = "192.0.2.1:8001"  # an address of the host that containers can reach, unlike loopback
SOCKETS = "/run/webntpd-sock"
HARDENED = (
    "--read-only",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--tmpfs=/run/webntpd",
)
SAMPLE = re.compile(r"^sample NTP2 +(\S+) ", re.MULTILINE)


def credentials(container: Container) -> dict[str, str]:
    """What the kernel lets process 1 of the container do."""
    status = Path(f"/proc/{container.pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\t(.*)$", status, re.MULTILINE))


def configured(engine: Engine, refclock: str) -> str:
    """The override that gives a client its configuration, with the host as its peer."""
    file = configure(engine.host, [Peer("host", "websocket", PEER)], refclock)
    return f"{file}:/etc/webntpd.toml:ro"


@pytest.fixture(scope="module")
def peer(engine: Engine) -> None:
    """A server on the host whose clock is wrong by a known amount."""
    address = PEER.partition(":")[0]
    engine.host.run(require("ip"), "address", "add", f"{address}/32", "dev", "lo")
    arguments = ("serve", PEER, "--local", f"--clock-shift={SHIFT}")
    server = engine.host.start(sys.executable, "-m", "webntpd", *arguments)
    eventually(lambda: "serving" in server.output, "the peer")


def test_the_server_tells_the_time_at_the_published_port(engine: Engine) -> None:
    with engine.service("server", 'command: [serve, --local, "0.0.0.0:8080"]') as server:
        eventually(lambda: server.healthy, "the server is healthy")
        query = (sys.executable, "-m", "webntpd", "query", "--json", "--samples=2")
        answer = engine.host.run(*query, "ws://127.0.0.1:8080/")
        estimate = json.loads(answer)["servers"][0]["estimate"]
        assert abs(estimate["offset"]) < estimate["error"]


def test_without_a_command_it_is_a_server_without_rights_that_stops_when_told(
    engine: Engine,
) -> None:
    with engine.service("server") as server:
        eventually(lambda: server.healthy, "the server is healthy")
        may = credentials(server)
        assert may["Uid"].split() == may["Gid"].split() == [str(USER)] * 4
        assert {int(may[each], 16) for each in ("CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
        assert may["NoNewPrivs"] == "1"
        assert server.inspect("{{.HostConfig.ReadonlyRootfs}}") == "true"
        assert server.stop() == 0


def test_a_server_that_is_stuck_is_not_healthy(engine: Engine) -> None:
    with engine.service("server") as server:
        eventually(lambda: server.healthy, "the server is healthy")
        os.kill(server.pid, signal.SIGSTOP)
        assert not server.healthy
        os.kill(server.pid, signal.SIGCONT)
        eventually(lambda: server.healthy, "the server is healthy again")


@pytest.mark.usefixtures("peer")
def test_a_client_feeds_the_shared_memory_of_the_host(engine: Engine) -> None:
    volume = configured(engine, shm(2))
    # Of `ipc: host` in compose.yaml podman 4.3 is not told, as it is by an option.
    options = (*HARDENED, "--ipc=host", f"--volume={volume}")
    with engine.container(*options, IMAGE, "run") as client:
        eventually(lambda: "first sample published" in client.log, "a first sample")
        # -o puts the offset first, with chronyc's sign.
        monitor = (require("ntpshmmon"), "-o", "-n", "2", "-t", "20")
        offsets = [float(offset) for offset in SAMPLE.findall(engine.host.run(*monitor))]
        assert offsets == [pytest.approx(-SHIFT, abs=0.01)] * 2
        segments = engine.host.run(require("ipcs"), "-m")
        assert re.search(rf"^0x4e545032 \S+ +{USER} +600 ", segments, re.MULTILINE)
        assert client.healthy
        assert credentials(client)["Uid"].split() == [str(USER)] * 4
        assert client.stop() == 0


@pytest.mark.usefixtures("peer")
def test_a_client_feeds_chrony_through_a_shared_directory_whenever_it_starts(
    engine: Engine,
) -> None:
    directory = engine.host.path / "sockets"
    directory.mkdir()
    name = "chrony.sock"
    volumes = [configured(engine, sock(Path(SOCKETS, name))), f"{directory}:{SOCKETS}"]
    with engine.service("client-sock", f"volumes: {volumes}") as client:
        for _ in range(2):
            chrony = Chrony.by_sock(engine.host, directory / name)
            # As the drop-in of docs/container.md does it.
            os.chown(directory / name, -1, USER)
            (directory / name).chmod(0o660)
            wait_until_they_believe(SHIFT, chrony)
            chrony.program.stop()
            (directory / name).unlink(missing_ok=True)
        assert client.healthy
        assert client.stop() == 0


@pytest.mark.usefixtures("peer")
def test_as_root_without_capabilities_it_uses_the_segment_that_a_consumer_has_made(
    engine: Engine,
) -> None:
    unit = 3
    chrony = Chrony.by_shm(engine.host, unit)
    key = f"0x{0x4E545030 + unit:08x}"
    made = re.compile(rf"^{key} \S+ +root +600 ", re.MULTILINE)
    eventually(lambda: made.search(engine.host.run(require("ipcs"), "-m")), "chronyd's segment")
    options = (*HARDENED, "--ipc=host", f"--volume={configured(engine, shm(unit))}")
    with engine.container(*options, IMAGE, "run") as client:
        eventually(lambda: "owner root, mode 0600" in client.log, "the remedy")
    with engine.container(*options, "--user=0:0", IMAGE, "run"):
        wait_until_they_believe(SHIFT, chrony)


def test_without_a_configuration_it_says_what_to_do(engine: Engine) -> None:
    client = engine.podman("run", "--rm", IMAGE, "run")
    assert client.wait() == 2
    assert "/etc/webntpd.toml: [[peer]]: there is none: add one" in client.output


def test_compose_shares_memory_with_the_host_for_one_client_alone(engine: Engine) -> None:
    profiles = ("--profile=client-shm", "--profile=client-sock")
    services = engine.compose(f"--file={ROOT}/compose.yaml", *profiles, "config")
    blocks = re.split(r"^  (\S+):$", services, flags=re.MULTILINE)
    sharing = [name for name, block in pairwise(blocks) if "    ipc: host\n" in block]
    assert sharing == ["client-shm"]
