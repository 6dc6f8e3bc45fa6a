from webntpd.ntp.parameters import PeerParameters


def test_a_peer_that_is_not_configured_otherwise_is_polled_as_websockets_are() -> None:
    parameters = PeerParameters("a")
    assert (parameters.minpoll, parameters.maxpoll) == (4, 6)
