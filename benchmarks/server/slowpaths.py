"""The embedded server with its fast paths off: `python -m benchmarks.server.slowpaths PORT`."""

import sys

import trio

from webntpd.clock import SystemClock
from webntpd.server import ServerParameters, serve


async def main(port: str) -> None:
    parameters = ServerParameters((f"127.0.0.1:{port}",), local=True)
    await serve(parameters, SystemClock(), lambda: None, fast_paths=False)


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
