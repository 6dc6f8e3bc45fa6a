"""How long things take to start. They take turns, so that what disturbs one disturbs all."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.common.figures import median
from benchmarks.footprint.daemons import COMMAND, chronyd, webntpd

DAEMON = "webntpd run, until it is ready"
YARDSTICK = "chronyd, until it takes commands"
STATUS = "webntpd status"
INTERPRETER = "python -c pass"
BARE = "python -I -S -c pass"
"""The interpreter without what an installation makes it look at."""


def start_ups(
    ours: str, theirs: tuple[str, str] | None, control: Path, rounds: int
) -> Mapping[str, float]:
    """The medians, s. `ours` is webntpd's configuration, `theirs` chronyd with its own.

    `control` is where a running webntpd is asked for its status.
    """
    commands = {
        STATUS: (*COMMAND, "status", "--socket", str(control)),
        INTERPRETER: (sys.executable, "-c", "pass"),
        BARE: (sys.executable, "-I", "-S", "-c", "pass"),
    }
    times: dict[str, list[float]] = {name: [] for name in (DAEMON, YARDSTICK, *commands)}
    for _ in range(rounds):
        with webntpd(ours) as daemon:
            times[DAEMON].append(daemon.started)
        if theirs is not None:
            with chronyd(*theirs) as yardstick:
                times[YARDSTICK].append(yardstick.started)
        for name, command in commands.items():
            times[name].append(_time(command))
    return {name: median(taken) for name, taken in times.items() if taken}


def _time(command: Sequence[str]) -> float:
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began
