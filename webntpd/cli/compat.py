"""The `webntp` command: the reference client's own flags and output lines.

Scripts that were written for the reference keep working. Where it misbehaves this one does not:
when no server answers there is no last line that tells a time, and the exit code is 1; and shared
memory gets nothing then, nor when no majority agrees, where the reference writes an offset of 0.
"""

import argparse
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import trio

from webntpd import __version__, log
from webntpd.cli.arguments import Exit
from webntpd.cli.commands import daemon, run_trio
from webntpd.cli.survey import Survey, survey
from webntpd.cli.terminal import hang_up, output_fault
from webntpd.clock.clocks import Clock, SystemClock
from webntpd.config import Config, ConfigError, PeerSpec, peer_from
from webntpd.exchange.leaplist import LeapSource
from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import NS_PER_S
from webntpd.refclock.base import Refclock, RefclockError
from webntpd.refclock.shm import ShmRefclock
from webntpd.server import ServerError, ServerParameters

POLL = 60.0
"""Time between two rounds that feed shared memory, s."""
SAMPLES = range(1, 9)
LAST_UNIT = 255
SWITCH = re.compile("--?(allow-cross-origin|version|help|h)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code. Wrong arguments raise SystemExit(2)."""
    parser = make_parser()
    arguments = parser.parse_args(as_go_reads(sys.argv[1:] if argv is None else argv))
    try:
        code = carry_out(parser, arguments)
        sys.stdout.flush()
    except (ConfigError, RefclockError, ServerError) as error:
        return failed(error)
    except BrokenPipeError:
        hang_up()
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OSError as error:
        if (fault := output_fault(error)) is None:
            raise
        return failed(fault)
    return code


def carry_out(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """Carry out the arguments; the exit code."""
    if arguments.version:
        print(f"webntp version {__version__} (webntpd)")
        return Exit.OK
    if arguments.help or not (arguments.serve or arguments.urls):
        parser.print_help()
        return Exit.OK
    return run_server(arguments) if arguments.serve else query_servers(arguments)


def failed(reason: object) -> int:
    print(f"webntp: {reason}", file=sys.stderr)
    return Exit.FAILED


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="webntp",
        description="Ask WebNTP servers for the time, or be one.",
        epilog="Offsets are in seconds; a positive one means that the local clock is behind.",
        add_help=False,
        allow_abbrev=False,
    )

    def flag(*names: str, **keys: object) -> None:
        dashed = [f"{dashes}{name}" for name in names for dashes in ("-", "--")]
        parser.add_argument(*dashed, **keys)  # type: ignore[arg-type]

    def switch(*names: str, meaning: str) -> None:
        flag(*names, type=go_bool, default=False, metavar="BOOL", help=meaning)

    flag("serve", default="", metavar="ADDRESS", help="serve this machine's time there")
    flag("p", type=integer, default=4, metavar="N", help="samples (1 to 8; 4)")
    flag("shm", type=unit, metavar="UNIT", help="ask every minute, and feed ntpd's shared memory")
    switch("allow-cross-origin", meaning="let web pages of others ask")
    path = "leap-seconds.list"
    flag("leap-second-path", type=Path, default=Path(path), metavar="FILE", help="where it is kept")
    flag("leap-second-url", default=LeapSource().url, metavar="URL", help="where it comes from")
    switch("version", meaning="show the version")
    switch("help", "h", meaning="show this help")
    parser.add_argument("urls", nargs="*", metavar="URL")
    return parser


def as_go_reads(argv: Sequence[str]) -> list[str]:
    """The arguments with `=true` after a bare switch: in Go it never takes the next word."""
    return [f"{each}=true" if SWITCH.fullmatch(each) else each for each in argv]


def integer(text: str) -> int:
    """Parse a number as Go does: 8, 0x8, 0b1000."""
    return int(text, 0)


def unit(text: str) -> int:
    """A unit of shared memory."""
    value = integer(text)
    if not 0 <= value <= LAST_UNIT:
        raise argparse.ArgumentTypeError(f"must be 0 to {LAST_UNIT}, not {text}")
    return value


def go_bool(text: str) -> bool:
    """Parse the value of a switch as Go does."""
    values = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
    try:
        return values[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false") from None


def run_server(arguments: argparse.Namespace) -> int:
    path: Path = arguments.leap_second_path
    config = Config(
        server=ServerParameters(
            (arguments.serve,),
            local=True,  # as the reference, which never asks whether the clock is good
            allow_cross_origin=arguments.allow_cross_origin,
        ),
        leap_file=path,
        leap_source=LeapSource(arguments.leap_second_url, path),
    )
    log.set_up()
    log.set_level(config.log_level)
    return daemon(lambda: config, SystemClock())


def query_servers(arguments: argparse.Namespace) -> int:
    if arguments.p not in SAMPLES:
        return failed(f"invalid samples: {arguments.p}")
    specs = list(servers(arguments.urls))
    if not specs:
        return Exit.FAILED
    clock = SystemClock()
    # To the reference, too, unit 0 is no unit: its shared memory is root's.
    if not arguments.shm:
        found = run_trio(survey, specs, arguments.p, clock)
        show(found, clock)
        return Exit.OK if any(finding.estimate for finding in found.findings) else Exit.FAILED
    refclock = ShmRefclock(arguments.shm)
    refclock.open()
    try:
        run_trio(feed_until_stopped, specs, arguments.p, clock, refclock)
    finally:
        refclock.close()
    return Exit.OK


def servers(urls: Iterable[str]) -> Iterator[PeerSpec]:
    """The servers to ask; prints a line for each URL that is not valid."""
    for url in dict.fromkeys(urls):
        try:
            yield peer_from({"url": url})
        except ConfigError as error:
            print_error(url, error)


async def feed_until_stopped(
    specs: Sequence[PeerSpec], samples: int, clock: Clock, refclock: Refclock
) -> None:
    """Feed until SIGTERM, which stops a service: the caller then marks the memory invalid."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed, specs, samples, clock, refclock)
            await anext(signals)
            nursery.cancel_scope.cancel()


async def feed(specs: Sequence[PeerSpec], samples: int, clock: Clock, refclock: Refclock) -> None:
    """Ask every minute, and publish, until cancelled."""
    while True:
        next_round = trio.current_time() + POLL
        await survey_and_publish(specs, samples, clock, refclock)
        await trio.sleep_until(next_round)


async def survey_and_publish(
    specs: Sequence[PeerSpec], samples: int, clock: Clock, refclock: Refclock
) -> None:
    """Publish the offset that a majority of the servers agrees on; without one, nothing."""
    found = await survey(specs, samples, clock)
    show(found, clock)
    if combined := found.combined:
        refclock.publish(
            Publication(combined.wall_ns, combined.offset, combined.error, combined.leap)
        )


def show(found: Survey, clock: Clock) -> None:
    """Print a line for each server; if any answered, the last line is of the least delay."""
    for finding in found.findings:
        if estimate := finding.estimate:
            offset, delay = f"{finding.offset:.6f}", f"{estimate.delay:.6f}"
            print(f"server {finding.spec.name}, offset {offset}, delay {delay}")
        elif failure := finding.failure:
            print_error(finding.spec.name, f"{failure.rejection}: {failure.detail}")
    delays = [(each.estimate.delay, each) for each in found.findings if each.estimate]
    if delays:
        _, nearest = min(delays, key=lambda each: each[0])
        now_ns = clock.realtime_ns() + round(nearest.offset * NS_PER_S)
        print(f"{go_time(now_ns)}, server {nearest.spec.name}, offset {nearest.offset:.6f}")
    sys.stdout.flush()


def print_error(url: str, reason: object) -> None:
    """Print an error on standard output, as the reference does."""
    print(f"{url}: Error {reason}", flush=True)


def go_time(unix_ns: int) -> str:
    """As Go prints a local time: 2017-03-11 18:25:10.905049427 +0900 JST."""
    seconds, nanoseconds = divmod(unix_ns, NS_PER_S)
    at = datetime.fromtimestamp(seconds).astimezone()
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{at:%Y-%m-%d %H:%M:%S}{fraction} {at:%z %Z}"
