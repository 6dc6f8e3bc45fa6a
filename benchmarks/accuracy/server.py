"""The server: how it is started, and its process.

It is what `webntpd serve` runs, but that it has TLS without a configuration file, and lets one
client ask often: that of this benchmark is eleven at once, and over veth no exempt neighbour.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
import trustme

from benchmarks.accuracy.modes import Transport
from benchmarks.accuracy.places import Place
from benchmarks.common.process import free_port, running
from webntpd.clock.clocks import SystemClock
from webntpd.server import ServerParameters, serve
from webntpd.server.parameters import Limits

LIMITS = Limits(requests_per_second=1e6, request_burst=1_000_000)


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs, or soon will. `ca_file` has the certificate to trust it by."""

    pid: int
    urls: Mapping[Transport, str]
    ca_file: Path


@contextmanager
def serving(place: Place) -> Iterator[Serving]:
    """Run a server at a place until the block ends. Raises ProcessError if it ended before."""
    plain, tls = (f"{place.address}:{free_port()}" for _ in range(2))
    with tempfile.TemporaryDirectory() as directory:
        ca_file, certificate = Path(directory, "ca.pem"), Path(directory, "server.pem")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(ca_file))
        authority.issue_cert(place.address).private_key_and_cert_chain_pem.write_to_path(
            str(certificate)
        )
        argv = (sys.executable, "-m", "benchmarks.accuracy.server", plain, tls, str(certificate))
        with running((*place.server, *argv)) as process:
            urls = {
                Transport.HTTP: f"http://{plain}/json",
                Transport.WS: f"ws://{plain}/json",
                Transport.WSS: f"wss://{tls}/json",
            }
            try:
                yield Serving(process.pid, urls, ca_file)
            finally:
                process.check()  # if it has ended, then that is why the client failed


async def run(parameters: ServerParameters) -> None:
    """Serve until SIGTERM."""
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            nursery.start_soon(serve, parameters, SystemClock(), lambda: None)
            await anext(signals)
            nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("listen", metavar="ADDR:PORT")
    parser.add_argument("listen_tls", metavar="ADDR:PORT")
    parser.add_argument("certificate", type=Path, help="a PEM file with its key")
    arguments = parser.parse_args()
    parameters = ServerParameters(
        listen=(arguments.listen,),
        listen_tls=(arguments.listen_tls,),
        certificate=arguments.certificate,
        local=True,
        limits=LIMITS,
    )
    trio.run(run, parameters)


if __name__ == "__main__":
    main()
