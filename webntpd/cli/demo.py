"""The demo: the embedded server on loopback, polled over HTTP and WebSocket, feeding SHM unit 2."""

import socket

from webntpd.config import Config, PeerSpec, RefclockSpec
from webntpd.exchange.base import ExchangeParameters
from webntpd.names import Kind
from webntpd.ntp.parameters import PeerParameters
from webntpd.refclock.base import ShmParameters
from webntpd.server import ServerParameters

HOST = "127.0.0.1"
UNIT = 2
PEERS = {Kind.HTTP: "http", Kind.WEBSOCKET: "ws"}


def demo_config() -> Config:
    """A configuration for which everything is on this machine, quick enough to be watched."""
    address = f"{HOST}:{free_port()}"
    return Config(
        peers=tuple(_peer(kind, f"{scheme}://{address}/") for kind, scheme in PEERS.items()),
        refclocks=(RefclockSpec(ShmParameters(UNIT)),),
        # The demo's truth is this machine's own clock: it is declared good.
        server=ServerParameters((address,), local=True),
    )


def _peer(kind: Kind, url: str) -> PeerSpec:
    return PeerSpec(
        # The environment's proxy must not see requests to this machine's own address.
        ExchangeParameters(url, kind, proxy=""),
        PeerParameters(url, minpoll=1, maxpoll=2, burst=2, iburst=6, burst_interval=0.25),
    )


def free_port() -> int:
    """A free port; another program may take it before we listen."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
