"""The embedded server otherwise than users run it: `python -m benchmarks.server.variant PORT`."""

import argparse

import trio

from webntpd.clock.clocks import SystemClock
from webntpd.server import ServerParameters, serve


async def main(arguments: argparse.Namespace) -> None:
    parameters = ServerParameters(
        (f"127.0.0.1:{arguments.port}",), local=True, workers=arguments.workers
    )
    await serve(parameters, SystemClock(), lambda: None, fast_paths=not arguments.slow)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--workers", type=int, default=0, help="0 for the process's own loop")
    parser.add_argument("--slow", action="store_true", help="without the fast paths")
    trio.run(main, parser.parse_args())
