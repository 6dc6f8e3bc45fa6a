"""A client that measures all the time: `python -m benchmarks.server.poller PORT SECONDS`.

It uses webntpd's own exchanges, against a server that reads the same clock: whatever offset they
find is their error. It prints JSON: for each way to ask, how the readings were made, and the
errors in seconds.
"""

import json
import sys
from collections.abc import Iterable

import trio

from webntpd.cli.survey import offset_of
from webntpd.clock.clocks import SystemClock
from webntpd.exchange import make_exchange
from webntpd.exchange.base import Exchange, ExchangeParameters
from webntpd.names import Kind
from webntpd.ntp.readings import Reading

INTERVAL = 0.01
"""Between two exchanges, s."""


def ways(port: int) -> dict[str, ExchangeParameters]:
    def parameters(scheme: str, kind: Kind, *, interleaved: bool) -> ExchangeParameters:
        url = f"{scheme}://127.0.0.1:{port}/json"
        return ExchangeParameters(url, kind, proxy="", interleaved=interleaved)

    return {
        "HTTP": parameters("http", Kind.HTTP, interleaved=False),
        "WebSocket": parameters("ws", Kind.WEBSOCKET, interleaved=False),
        "interleaved": parameters("ws", Kind.WEBSOCKET, interleaved=True),
    }


class Errors:
    """What came of one way to ask. The first exchange on a connection is never a sample."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._made: dict[str, int] = {}
        self._errors: list[float] = []

    async def measure(self) -> None:
        self._add(await self._exchange.measure(last=False))

    def _add(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            if not reading.first:
                made = str(reading.provenance)
                self._made[made] = self._made.get(made, 0) + 1
                self._errors.append(abs(offset_of(reading)))

    def as_dict(self) -> dict[str, object]:
        return {"made": self._made, "errors": self._errors}


async def main(port: str, seconds: str) -> None:
    async with trio.open_nursery() as nursery:
        clock = SystemClock()
        found = {
            name: Errors(make_exchange(parameters, clock, nursery))
            for name, parameters in ways(int(port)).items()
        }
        with trio.move_on_after(float(seconds)):
            while True:
                for errors in found.values():
                    await errors.measure()
                    await trio.sleep(INTERVAL)
        nursery.cancel_scope.cancel()
    print(json.dumps({name: errors.as_dict() for name, errors in found.items()}))


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2])
