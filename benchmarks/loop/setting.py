"""One run: a fresh guest, the floor, then chronyd on webntpd's samples over one emulated path."""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common.namespaces import DIE_WITH_US
from benchmarks.common.process import await_listener, free_port, running
from benchmarks.loop.guest import Guest, booted
from benchmarks.loop.image import HOST, Image
from benchmarks.loop.marks import RMS
from benchmarks.loop.relay import relaying
from benchmarks.loop.scoring import Floor, Score, floor_of, score_of, settled_from
from benchmarks.loop.truth import Truth, watch

FIRST_SAMPLE = 120
"""How long webntpd may take to publish its first sample, s."""
SAYS = "first sample published"

SERVER = """
[server]
listen = ["127.0.0.1:{port}"]
local = true
[control]
socket = ""
"""
PEER = """
[[peer]]
name = "{name}"
url = "ws://{host}:{port}/"
"""
SHM = """
[[refclock]]
type = "shm"
"""
CONFIG = "/etc/webntpd.toml"
CHRONY_LINES = "/etc/chrony/conf.d/webntpd.conf"
ASKED = {
    "chronyc tracking": "chronyc -n tracking",
    "chronyc sources": "chronyc -n sources",
    "chronyc sourcestats": "chronyc -n sourcestats",
    "webntpd tracking": "webntpd tracking",
    "webntpd sources": "webntpd sources",
    "webntpd's last warnings": (
        "journalctl --no-pager --output=cat --unit=webntpd --priority=warning --lines=10"
    ),
}
"""The commands whose output ends a run, by the titles that they get."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one run. Times are s; `failures` counts the truth samples that failed.

    `lines` are chrony's, as `webntpd consumer-config chrony` printed them; `answers` has the output
    of each command in ASKED, by title.
    """

    path: str
    accelerator: str
    boot_time: float
    seconds: float
    floor: Floor
    score: Score
    free: tuple[Truth, ...]
    steered: tuple[Truth, ...]
    failures: int
    lines: str
    answers: Mapping[str, str]


def run(
    image: Image,
    accelerators: Sequence[str],
    path: str,
    seed: int,
    seconds: float,
    idle: float,
) -> Outcome:
    """Boot, measure the floor for `idle` s, then the steered clock for `seconds`.

    Raises GuestError, ProcessError or Rejected.
    """
    with booted(image, accelerators) as guest:
        say(f"{path}: booted in {guest.boot_time:.0f} s ({guest.accelerator})")
        free = watch(guest.url, idle)
        with serving() as server, relaying(path, seed, server) as ports:
            lines = start(guest, path, ports)
            say(f"{path}: chronyd has started; {seconds:g} s to go")
            steered = watch(guest.url, seconds)
            answers = {title: guest.run(f"{script} || true") for title, script in ASKED.items()}
    return Outcome(
        path=path,
        accelerator=guest.accelerator,
        boot_time=guest.boot_time,
        seconds=seconds,
        floor=floor_of(free.samples),
        score=score_of(steered.samples, settled_from(seconds), RMS[path]),
        free=free.samples,
        steered=steered.samples,
        failures=free.failures + steered.failures,
        lines=lines,
        answers=answers,
    )


@contextmanager
def serving() -> Iterator[int]:
    """Run a server of this machine's time on loopback; yields its port."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory, "server.toml")
        config.write_text(SERVER.format(port=port))
        argv = (*DIE_WITH_US, sys.executable, "-m", "webntpd", "run", "--config", config)
        with running(argv) as process:
            await_listener(process, port)
            yield port
            process.check()


def start(guest: Guest, path: str, ports: Sequence[int]) -> str:
    """Start webntpd and then chronyd in the guest, and return chrony's lines.

    The lines are printed while the daemon runs, as an administrator does it, so that they can have
    its measured bounds.
    """
    guest.write(CONFIG, configuration(path, ports))
    guest.run(f"systemctl start webntpd && {awaited(SAYS)}")
    lines = guest.run(f"webntpd consumer-config chrony | tee {CHRONY_LINES}")
    guest.run("systemctl start chrony")
    return lines


def configuration(path: str, ports: Sequence[int]) -> str:
    """webntpd's, with one peer for each port of the relay and defaults for the rest."""
    peers = (
        PEER.format(name=f"{path} {number}", host=HOST, port=port)
        for number, port in enumerate(ports, start=1)
    )
    return "".join((*peers, SHM))


def awaited(text: str) -> str:
    """A script that waits until webntpd's journal has the text, and shows it if it never does."""
    shown = "journalctl --no-pager --output=cat --unit=webntpd"
    return (
        f"for i in $(seq {FIRST_SAMPLE}); do {shown} | grep -q {json.dumps(text)} && exit;"
        f" sleep 1; done; {shown}; false"
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
