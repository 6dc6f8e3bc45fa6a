"""What load on the server does to the time that a client takes from it.

The client and the load share a core, and the server has the other, so that the client is hindered
by the load as well; only its timestamps can save it.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.common.figures import median, quantile
from benchmarks.common.process import running
from benchmarks.server.contenders import Contender
from benchmarks.server.load import Load, LoadError, Transport

CONNECTIONS = 100
CALIBRATION = 1.0
"""How long full capacity is measured to know what half of it is, s."""
START = 1.0
"""How long the client may take to start, s."""
GRACE = 10.0


@dataclass(frozen=True, slots=True)
class ClockError:
    """A way to ask under a load: errors in seconds, and how many readings were made how."""

    load: str
    way: str
    errors: list[float] = field(default_factory=list)
    made: dict[str, int] = field(default_factory=dict)

    @property
    def p50(self) -> float:
        return median(self.errors)

    @property
    def p99(self) -> float:
        return quantile(self.errors, 0.99)


def measure_clock_error(
    contender: Contender, rounds: int, seconds: float, progress: Callable[[str], None]
) -> list[ClockError]:
    """Poll the server while it is idle, loaded to half, and to its full capacity, in turn."""
    found: dict[tuple[str, str], ClockError] = {}
    with Load(contender.port, Transport.WEBSOCKET, CONNECTIONS) as load:
        capacity = load.saturate(CALIBRATION).rate
        loads: dict[str, Callable[[], object]] = {
            "idle": lambda: time.sleep(seconds),
            "half": lambda: load.pace(capacity / 2, seconds),
            "full": lambda: load.saturate(seconds),
        }
        for number in range(1, rounds + 1):
            for name, work in loads.items():
                progress(f"round {number} of {rounds}: {name}")
                for way, result in _poll(contender.port, seconds, work).items():
                    each = found.setdefault((name, way), ClockError(name, way))
                    each.errors.extend(result["errors"])
                    for made, count in result["made"].items():
                        each.made[made] = each.made.get(made, 0) + count
    if missing := [each for each in found.values() if not each.errors]:
        raise LoadError(f"the client got no reading: {missing}")
    return list(found.values())


def _poll(port: int, seconds: float, work: Callable[[], object]) -> dict[str, Any]:
    """What the poller prints, while `work` is done."""
    command = [sys.executable, "-m", "benchmarks.server.poller", str(port), str(seconds - START)]
    with running(command) as poller:
        work()
        found: dict[str, Any] = json.loads(poller.output(GRACE))
    return found
