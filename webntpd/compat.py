"""The `webntp` command: the reference client's own flags and output lines.

Scripts that were written for the reference keep working. Where it misbehaves this one does not:
its shared memory gets nothing when no server answered or none agree, where the reference writes
an offset of 0.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime, tzinfo
from pathlib import Path

import trio

from webntpd import __version__, log
from webntpd.arguments import Exit
from webntpd.clock import Clock, SystemClock
from webntpd.commands import daemon, run_trio
from webntpd.config import Config, ConfigError, PeerSpec, peer_from
from webntpd.config.document import DEFAULT_LEAP_URL
from webntpd.leapfetch import LeapSource
from webntpd.ntp.system import majority_warning
from webntpd.ntp.types import NS_PER_S, Publication
from webntpd.query.survey import Survey, survey
from webntpd.refclock import Refclock, RefclockError
from webntpd.refclock.shm import ShmRefclock
from webntpd.server import ServerError, ServerParameters

POLL = 60.0
"""Between two rounds that feed shared memory, s."""
ORIGINS = "-allow-cross-origin"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code. Wrong arguments raise SystemExit(2)."""
    arguments = make_parser().parse_args(as_go_reads(sys.argv[1:] if argv is None else argv))
    try:
        if arguments.serve:
            return serve(arguments)
        return ask(arguments)
    except (ConfigError, RefclockError, ServerError) as error:
        print(f"webntp: {error}", file=sys.stderr)
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="webntp",
        description="Ask WebNTP servers for the time, or be one.",
        epilog="Offsets are in seconds; a positive one means that the local clock is behind.",
        add_help=False,
        allow_abbrev=False,
    )

    def flag(name: str, **keys: object) -> None:
        parser.add_argument(f"-{name}", f"--{name}", **keys)  # type: ignore[arg-type]

    flag("serve", default="", metavar="ADDRESS", help="serve this machine's time there")
    flag("p", type=int, choices=range(1, 9), default=4, metavar="N", help="samples (1 to 8; 4)")
    flag("shm", type=int, metavar="UNIT", help="ask every minute, and feed ntpd's shared memory")
    flag("allow-cross-origin", type=go_bool, default=False, help="let web pages of others ask")
    path = "leap-seconds.list"
    flag("leap-second-path", type=Path, default=Path(path), metavar="FILE", help="where it is kept")
    flag("leap-second-url", default=DEFAULT_LEAP_URL, metavar="URL", help="where it comes from")
    flag("version", action="version", version=f"webntp (webntpd {__version__})")
    flag("help", action="help", help="show this help")
    parser.add_argument("urls", nargs="*", metavar="URL")
    return parser


def as_go_reads(argv: Sequence[str]) -> list[str]:
    """The arguments with the switch's value spelt out: Go's switches never take the next word."""
    return [f"{each}=true" if each.lstrip("-") == ORIGINS[1:] else each for each in argv]


def go_bool(text: str) -> bool:
    """As Go reads a switch's value."""
    values = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    try:
        return values[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None


def serve(arguments: argparse.Namespace) -> int:
    path: Path = arguments.leap_second_path
    config = Config(
        server=ServerParameters(
            (arguments.serve,), allow_cross_origin=arguments.allow_cross_origin
        ),
        leap_file=path,
        leap_source=LeapSource(arguments.leap_second_url, path),
    )
    log.set_up()
    log.set_level(config.log_level)
    return daemon(lambda: config, SystemClock())


def ask(arguments: argparse.Namespace) -> int:
    specs = [peer_from({"url": url}) for url in dict.fromkeys(arguments.urls)]
    clock = SystemClock()
    if arguments.shm is None:
        return ask_once(specs, arguments.p, clock)
    refclock = ShmRefclock(arguments.shm)
    refclock.open()
    try:
        run_trio(feed, specs, arguments.p, clock, refclock)
    finally:
        refclock.close()
    return Exit.OK


def ask_once(specs: Sequence[PeerSpec], samples: int, clock: Clock) -> int:
    found = run_trio(survey, specs, samples, clock)
    show(found)
    answers = [(each.spec.name, each.estimate) for each in found.answers if each.estimate]
    if not answers:
        return Exit.FAILED if specs else Exit.OK
    name, estimate = min(answers, key=lambda answer: answer[1].delay)
    now_ns = clock.realtime_ns() + round(estimate.offset * NS_PER_S)
    print(f"{go_time(now_ns)}, server {name}, offset {estimate.offset:.6f}")
    return Exit.OK


async def feed(specs: Sequence[PeerSpec], samples: int, clock: Clock, refclock: Refclock) -> None:
    """Ask every minute, and publish, until interrupted."""
    while True:
        next_round = trio.current_time() + POLL
        await ask_and_publish(specs, samples, clock, refclock)
        await trio.sleep_until(next_round)


async def ask_and_publish(
    specs: Sequence[PeerSpec], samples: int, clock: Clock, refclock: Refclock
) -> None:
    """Publish what a majority of the servers says now; nothing, if there is none."""
    found = await survey(specs, samples, clock)
    show(found)
    if found.combined is None:
        return
    leaps = [answer.leap for answer in found.answers if answer.spec.name in found.survivors]
    refclock.publish(
        Publication(
            receive_ns=clock.realtime_ns(),
            offset=found.combined.offset,
            error=found.combined.distance,
            leap=majority_warning(leaps),
        )
    )


def show(found: Survey) -> None:
    """A line for each server: on the standard output what answered, on the other what did not."""
    for answer in found.answers:
        if estimate := answer.estimate:
            offset, delay = f"{estimate.offset:.6f}", f"{estimate.delay:.6f}"
            print(f"server {answer.spec.name}, offset {offset}, delay {delay}", flush=True)
        elif failure := answer.failure:
            line = f"server {answer.spec.name}, error {failure.rejection}: {failure.detail}"
            print(line, file=sys.stderr)


def go_time(unix_ns: int, zone: tzinfo | None = None) -> str:
    """As Go prints a time: 2017-03-11 18:25:10.905049427 +0900 JST. `zone` is the local one."""
    seconds, nanoseconds = divmod(unix_ns, NS_PER_S)
    at = datetime.fromtimestamp(seconds, zone).astimezone(zone)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction} {at:%z %Z}"
