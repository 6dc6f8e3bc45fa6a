"""What the tests of several modules share."""

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import trio
import trustme
from trio.testing import MockClock

from webntpd.clock.clocks import SystemClock
from webntpd.exchange import make_exchange
from webntpd.exchange.base import Exchange, ExchangeParameters
from webntpd.log.handlers import UnblockedHandler
from webntpd.names import Kind

KINDS = {
    "http": Kind.HTTP,
    "https": Kind.HTTP,
    "ws": Kind.WEBSOCKET,
    "wss": Kind.WEBSOCKET,
}


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    """Put the log back as it was: a command sets it up for its whole process."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)
    for handler in [each for each in root.handlers if isinstance(each, UnblockedHandler)]:
        root.removeHandler(handler)


@pytest.fixture
def patient_clock() -> MockClock:
    """Jumps over waits that nothing will end; a real loopback socket gets 50 ms to end them."""
    return MockClock(autojump_threshold=0.05)


ExchangeTo = Callable[..., Exchange]


@pytest.fixture
async def exchange_to(nursery: trio.Nursery) -> AsyncIterator[ExchangeTo]:
    """Makes exchanges for a URL, and closes them after the test."""
    exchanges = []

    def make(url: str, kind: Kind | None = None, **changes: object) -> Exchange:
        kind = kind or KINDS[url.partition(":")[0]]
        parameters = ExchangeParameters(url, kind, **({"proxy": ""} | changes))  # type: ignore[arg-type]
        exchanges.append(make_exchange(parameters, SystemClock(), nursery))
        return exchanges[-1]

    yield make
    for exchange in exchanges:
        await exchange.aclose()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    return server_context(authority.issue_cert("127.0.0.1", "::1", "time.example"))
