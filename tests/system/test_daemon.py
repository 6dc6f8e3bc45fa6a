"""The whole daemon between real servers, whose clocks are wrong by known amounts, and consumers."""

import signal

import pytest

from tests.system.consumers import Chrony, NtpSec, wait_until_they_believe
from tests.system.daemons import Peer, SockConsumer, configure, run, serve, shm, sock
from tests.system.harness import Sandbox, eventually

pytestmark = pytest.mark.system

SYNCHRONISED = r"STATUS=synchronised to .*"
TOLERANCE = 1e-3  # s
LIE = 0.3  # s


@pytest.mark.parametrize(
    ("kind", "shift"), [("http", 0.25), ("websocket", -0.25), ("time-header", 0.25)]
)
def test_every_consumer_learns_the_servers_time(sandbox: Sandbox, kind: str, shift: float) -> None:
    path = sandbox.path / "chrony.sock"
    by_sock = Chrony.by_sock(sandbox, path)
    peer = Peer("one", kind, serve(sandbox, 8001, shift))
    run(sandbox, [peer], shm(2), shm(3), sock(path))
    wait_until_they_believe(shift, Chrony.by_shm(sandbox, 2), NtpSec(sandbox, 3), by_sock)


def test_one_liar_and_one_dead_of_four_leave_the_offset_right(sandbox: Sandbox) -> None:
    consumer = SockConsumer(sandbox)
    peers = [
        Peer("liar", "websocket", serve(sandbox, 8001, 0.25 + LIE)),
        Peer("right", "websocket", serve(sandbox, 8002, 0.25)),
        Peer("right too", "http", serve(sandbox, 8003, 0.25)),
        Peer("dead", "http", "127.0.0.1:8004"),
    ]
    daemon = run(sandbox, peers, consumer.refclock)
    daemon.says(r"STATUS=synchronised to right.* 2 survivors, 3 of 4 peers reachable")
    offsets = consumer.offsets()
    while len(offsets) < 3:
        offsets += eventually(consumer.offsets, "a sample")
    assert offsets == pytest.approx([0.25] * len(offsets), abs=TOLERANCE)


@pytest.mark.parametrize("lies", [(LIE, LIE), (LIE, -LIE)], ids=["agreeing", "disagreeing"])
def test_two_liars_of_four_leave_nothing_to_publish(
    sandbox: Sandbox, lies: tuple[float, float]
) -> None:
    consumer = SockConsumer(sandbox)
    peers = [
        Peer(str(port), "websocket", serve(sandbox, port, shift))
        for port, shift in enumerate((0.0, 0.0, *lies), start=8001)
    ]
    daemon = run(sandbox, peers, consumer.refclock)
    seen = daemon.says("STATUS=no majority of the peers agrees; 4 of 4 peers reachable")
    for _ in range(6):  # half of WATCHDOG_S each: several polls of every peer
        seen = daemon.says("WATCHDOG=1", after=seen)
    assert consumer.offsets() == []
    assert "synchronised" not in "".join(daemon.said)


def test_a_reload_takes_over_a_good_file_and_refuses_a_bad_one(sandbox: Sandbox) -> None:
    one = Peer("one", "websocket", serve(sandbox, 8001, 0.25))
    two = Peer("two", "http", serve(sandbox, 8002, 0.25))
    daemon = run(sandbox, [one], shm(2))
    seen = daemon.says(SYNCHRONISED + " 1 of 1 peers reachable")

    configure(sandbox, [one, two], shm(2))
    daemon.program.signal(signal.SIGHUP)
    reloading = daemon.says("RELOADING=1", after=seen)
    daemon.says(r"MONOTONIC_USEC=\d+", after=reloading)
    seen = daemon.says("READY=1", after=reloading)
    between = [line for line in daemon.said[reloading:seen] if line.startswith("STATUS=")]
    assert not any("0 of" in line for line in between), "the first peer lost its state"
    seen = daemon.says(SYNCHRONISED + " 2 of 2 peers reachable", after=seen)

    configure(sandbox, [one, two], shm(2), "unknown = 1")
    daemon.program.signal(signal.SIGHUP)
    seen = daemon.says("READY=1", after=daemon.says("RELOADING=1", after=seen))
    assert "unknown" in daemon.program.output
    daemon.says(SYNCHRONISED + " 2 of 2 peers reachable", after=seen)


def test_the_service_manager_sees_the_whole_life(sandbox: Sandbox) -> None:
    daemon = run(sandbox, [Peer("one", "websocket", serve(sandbox, 8001, 0.0))], shm(2))
    seen = daemon.says("WATCHDOG=1")
    daemon.says("WATCHDOG=1", after=seen)
    daemon.says(SYNCHRONISED)
    daemon.program.signal(signal.SIGTERM)
    assert daemon.program.wait() == 0
    assert daemon.said[-1] == "STOPPING=1"
    assert daemon.said.count("READY=1") == 1
