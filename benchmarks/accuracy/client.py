"""The client's process: asks in all ways by turns, and prints each exchange's stamps as JSON."""

import argparse
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio

from benchmarks.accuracy.modes import Asking, Sample, Series, Transport
from webntpd.clock.clocks import Clock, SystemClock
from webntpd.exchange import make_exchange
from webntpd.exchange.base import Exchange, ExchangeParameters
from webntpd.names import Kind
from webntpd.ntp.readings import Reading
from webntpd.protocol.rejected import Rejected

WARM_UP = 5
"""Rounds that do not count: connections open, and the kernel switches its stamps on."""
PATIENCE = 10.0
"""How long the server may take to be there, s."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """`begin` and `end` are Unix time; failures are counted by series and name."""

    begin: float
    end: float
    taken: Mapping[Series, Sequence[Sample]]
    failures: Mapping[Series, Mapping[str, int]]

    def to_json(self) -> str:
        return json.dumps(
            {
                "begin": self.begin,
                "end": self.end,
                "taken": {str(series): samples for series, samples in self.taken.items()},
                "failures": {str(series): names for series, names in self.failures.items()},
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Recorded":
        fields = json.loads(text)
        return cls(
            begin=fields["begin"],
            end=fields["end"],
            taken={
                Series.parse(name): [Sample(*sample) for sample in samples]
                for name, samples in fields["taken"].items()
            },
            failures={Series.parse(name): names for name, names in fields["failures"].items()},
        )


@dataclass(slots=True)
class Asker:
    """One series at work."""

    series: Series
    exchange: Exchange
    samples: list[Sample] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    async def ask(self, *, last: bool) -> None:
        fresh = self.series.asking is Asking.FRESH
        try:
            readings = await self.exchange.measure(last=last)
        except Rejected as error:
            self.failures[error.failure.rejection] += 1
            return
        self.samples += [Sample.of(each) for each in readings if fresh or not each.first]
        if fresh:
            await self.exchange.aclose()

    def forget(self) -> None:
        self.samples.clear()
        self.failures.clear()


def askers(
    urls: Mapping[Transport, str], ca_file: Path | None, clock: Clock, nursery: trio.Nursery
) -> Sequence[Asker]:
    found = []
    for asking in Asking:
        for transport in asking.transports:
            if transport in urls:
                parameters = asked(urls[transport], transport, asking, ca_file)
                exchange = make_exchange(parameters, clock, nursery)
                found.append(Asker(Series(transport, asking), exchange))
    return found


def asked(
    url: str, transport: Transport, asking: Asking, ca_file: Path | None = None
) -> ExchangeParameters:
    """The exchange that asks so."""
    return ExchangeParameters(
        url=url,
        kind=Kind.HTTP if transport is Transport.HTTP else Kind.WEBSOCKET,
        proxy="",
        ca_file=ca_file,
        interleaved=asking is Asking.INTERLEAVED,
        kernel_timestamps=asking in {Asking.KERNEL, Asking.INTERLEAVED},
    )


async def record(
    urls: Mapping[Transport, str], ca_file: Path | None, seconds: float, interval: float
) -> Recorded:
    """Let every series ask once each `interval`, evenly spread and in random order."""
    turns = random.Random(0)
    async with trio.open_nursery() as nursery:
        waiting = list(askers(urls, ca_file, SystemClock(), nursery))
        pause = interval / len(waiting)
        await reachable(waiting[0].exchange)
        for _ in range(WARM_UP):
            await ask_all(waiting, pause)
        for asker in waiting:
            asker.forget()
        begin, deadline = time.time(), trio.current_time() + seconds
        while trio.current_time() < deadline:
            turns.shuffle(waiting)
            await ask_all(waiting, pause)
        await ask_all(waiting, pause, last=True)
        end = time.time()
        for asker in waiting:
            await asker.exchange.aclose()
    return Recorded(
        begin,
        end,
        taken={asker.series: asker.samples for asker in waiting},
        failures={asker.series: asker.failures for asker in waiting if asker.failures},
    )


async def ask_all(waiting: Sequence[Asker], pause: float, *, last: bool = False) -> None:
    for asker in waiting:
        due = trio.current_time() + pause
        await asker.ask(last=last)
        await trio.sleep_until(due)


async def reachable(exchange: Exchange) -> Sequence[Reading]:
    """Ask until the server is there; raises the last Rejected if it does not come."""
    deadline = trio.current_time() + PATIENCE
    while True:
        try:
            return await exchange.measure(last=True)
        except Rejected:
            if trio.current_time() > deadline:
                raise
        await trio.sleep(0.1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--interval", type=float, required=True)
    parser.add_argument("--ca-file", type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    urls = {Transport(url.partition(":")[0]): url for url in arguments.urls}
    recorded = trio.run(record, urls, arguments.ca_file, arguments.seconds, arguments.interval)
    print(recorded.to_json())


if __name__ == "__main__":
    main()
