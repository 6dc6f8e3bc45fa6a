"""The server's process. It is what `webntpd serve` runs, but that it lets one client ask often:
the client of this benchmark is eleven at once, and over veth it is not exempt from limits.
"""

import argparse
import signal

import trio

from webntpd.clock import SystemClock
from webntpd.server import ServerParameters, serve
from webntpd.server.limits import Limits

LIMITS = Limits(requests_per_second=1e6, request_burst=1_000_000)


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
    arguments = parser.parse_args()
    trio.run(run, ServerParameters(listen=(arguments.listen,), local=True, limits=LIMITS))


if __name__ == "__main__":
    main()
