"""The demo's configuration."""

import socket

from webntpd.cli.demo import demo_config
from webntpd.names import Kind
from webntpd.refclock.base import ShmParameters


def test_the_demos_peers_are_its_own_server_over_http_and_websocket() -> None:
    config = demo_config()
    assert config.server is not None
    (address,) = config.server.listen
    assert [peer.exchange.url for peer in config.peers] == [
        f"http://{address}/",
        f"ws://{address}/",
    ]
    assert [peer.exchange.kind for peer in config.peers] == [Kind.HTTP, Kind.WEBSOCKET]
    assert config.server.local
    assert [refclock.parameters for refclock in config.refclocks] == [ShmParameters(2)]


def test_the_demos_port_is_free() -> None:
    config = demo_config()
    assert config.server is not None
    host, _, port = config.server.listen[0].rpartition(":")
    with socket.socket() as listener:
        listener.bind((host, int(port)))
