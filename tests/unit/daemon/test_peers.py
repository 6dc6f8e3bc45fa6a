"""The tasks of all peers, as a reload and an alarm reach them."""

import pytest
import trio
from trio.testing import MockClock

from tests.fakes.clock import VirtualClock
from webntpd.clock.clocks import SystemClock
from webntpd.config import PeerSpec
from webntpd.daemon.peers import Peers
from webntpd.exchange.base import ExchangeParameters
from webntpd.names import Kind
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.readings import Reading, Smear


@pytest.fixture
def closed() -> PeerSpec:
    """A peer that refuses every connection."""
    exchange = ExchangeParameters("http://127.0.0.1:1/", Kind.HTTP, proxy="")
    return PeerSpec(exchange, PeerParameters("closed", minpoll=10, maxpoll=10, iburst=1))


async def test_an_alarm_has_every_peer_poll_at_once(
    nursery: trio.Nursery, autojump_clock: MockClock, closed: PeerSpec
) -> None:
    autojump_clock.autojump_threshold = 0.05
    send, reports = trio.open_memory_channel[PeerReport](100)
    peers = Peers(
        nursery,
        VirtualClock(),
        send,
        prior=lambda: UNKNOWN_FREQUENCY,
        correct=lambda reading, _: reading,
    )
    peers.change([closed])
    await reports.receive()
    await trio.sleep(1)  # into the pause before the next poll
    while reports.statistics().current_buffer_used:
        reports.receive_nowait()
    before = trio.current_time()
    peers.alarm()
    peers.alarm()  # one alarm that waits is enough
    await reports.receive()
    assert trio.current_time() - before < 60
    peers.change([])
    assert len(peers) == 0


async def test_a_reading_is_corrected_by_the_smear_of_its_own_peer(
    nursery: trio.Nursery, autojump_clock: MockClock, closed: PeerSpec
) -> None:
    asked: list[Smear] = []

    def correct(reading: Reading, smear: Smear) -> Reading:
        asked.append(smear)
        return reading

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        body = b'{"st":1700000000.5}'
        await stream.send_all(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )

    autojump_clock.autojump_threshold = 0.05
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, answer, [listener])
    url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"
    spec = PeerSpec(
        ExchangeParameters(url, Kind.HTTP, proxy=""),
        PeerParameters("smearing", iburst=1, smear=Smear.NOON_TO_NOON),
    )
    send, reports = trio.open_memory_channel[PeerReport](100)
    peers = Peers(nursery, SystemClock(), send, prior=lambda: UNKNOWN_FREQUENCY, correct=correct)
    peers.change([spec])
    while not asked:
        await reports.receive()
    assert set(asked) == {Smear.NOON_TO_NOON}
    nursery.cancel_scope.cancel()
