"""One run: everything that is compared, in one place, beside one load."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.accuracy.client import Recorded
from benchmarks.accuracy.figures import Figures, by_mode, figures, made_of
from benchmarks.accuracy.modes import Mode, Series, Transport
from benchmarks.accuracy.places import Place
from benchmarks.accuracy.server import Serving, serving
from benchmarks.accuracy.yardstick import INTERVAL, yardstick
from benchmarks.common.namespaces import DIE_WITH_US
from benchmarks.common.process import running


class Load(StrEnum):
    IDLE = "idle"
    BUSY = "a core busy"


SPIN = (*DIE_WITH_US, sys.executable, "-c", "while True: pass")
PATIENCE = 30.0
"""How much longer than it asks for the client may take, s: it starts, and loads make it slow."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run gave. `yardstick` is None where there is no chronyd.

    `provenance` counts what the samples of each series are made of, `failures` those that never
    were, by name.
    """

    place: str
    load: Load
    modes: Mapping[tuple[Mode, Transport], Figures]
    yardstick: Figures | None
    provenance: Mapping[Series, Mapping[str, int]]
    failures: Mapping[Series, Mapping[str, int]]


def run(place: Place, load: Load, seconds: float, chronyd: str | None) -> Outcome:
    """Start server, yardstick and load, let the client ask, and work out the figures."""
    with ExitStack() as stack:
        measured = stack.enter_context(yardstick(chronyd, place)) if chronyd else None
        server = stack.enter_context(serving(place))
        if load is Load.BUSY:
            stack.enter_context(running(SPIN))
        recorded = record(place, server, seconds)
        measurements = measured(recorded.begin, recorded.end) if measured else ()
    return Outcome(
        place=place.name,
        load=load,
        modes=by_mode(recorded.taken),
        yardstick=figures((each.offset, each.delay) for each in measurements),
        provenance={series: made_of(samples) for series, samples in recorded.taken.items()},
        failures=recorded.failures,
    )


def record(place: Place, server: Serving, seconds: float) -> Recorded:
    """Run the client's process."""
    argv = (
        *place.client, sys.executable, "-m", "benchmarks.accuracy.client",
        "--seconds", str(seconds), "--interval", str(INTERVAL), "--ca-file", str(server.ca_file),
        *server.urls.values(),
    )  # fmt: skip
    with running(argv) as client:
        return Recorded.from_json(client.output(seconds * 2 + PATIENCE))
