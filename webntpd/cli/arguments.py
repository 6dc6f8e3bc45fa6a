"""The arguments of the `webntpd` command, and its help."""

import argparse
from enum import IntEnum
from pathlib import Path

from webntpd import __version__
from webntpd.names import (
    CONFIG_VARIABLE,
    CONTROL_VARIABLE,
    DEFAULT_CONFIG,
    DEFAULT_CONTROL,
    DEFAULT_STATISTICS,
    LOG_FORMAT_VARIABLE,
    Consumer,
    Kind,
    LogFormat,
)

DESCRIPTION = """\
Keep the clock right where NTP's UDP port is closed: poll WebNTP servers over
HTTP and WebSocket, and hand the best offset to ntpd, NTPsec, chrony or ntpd-rs.
"""


class Exit(IntEnum):
    """The exit codes of the commands; the help explains them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_RUNNING = 3
    INTERRUPTED = 130  # as a shell has it for SIGINT


EXIT_CODES = """\
exit codes:
  0  all is well
  1  no answer, or it could not be done
  2  wrong usage, or a fault in the configuration
  3  the daemon that was to be asked is not running
"""
DEFAULT_ADDRESS = "127.0.0.1:8080"
DEFAULT_SAMPLES = 8
MOST_SAMPLES = 1000
DEFAULT_INTERVAL = 1.0
DEFAULT_PICTURE = Path("webntpd.svg")
DEFAULT_DAYS = 7.0
HELP_WIDTH = 80

LOOKS = ("status", "tracking", "sources", "watch")
"""The commands that ask a running daemon."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Formats help for 80 columns on any terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=HELP_WIDTH, max_help_position=26)


def make_parser() -> argparse.ArgumentParser:
    """The parser; `command` is the name of the chosen command."""
    parser = argparse.ArgumentParser(
        "webntpd", description=DESCRIPTION, epilog=EXIT_CODES, formatter_class=Formatter
    )
    parser.add_argument("--version", action="version", version=f"webntpd {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str, more: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=summary, description=f"{summary}.\n{more}", formatter_class=Formatter
        )

    _add_run(command("run", "Run the daemon", RUN))
    _add_query(command("query", "Ask servers for the time once", QUERY))
    _add_look(command("status", "Show the daemon's peers and outputs", STATUS))
    _add_look(command("tracking", "Show the offset, its error, and what became of it", TRACKING))
    sources = command("sources", "Show the peers", SOURCES)
    sources.add_argument("-v", "--verbose", action="store_true", help="everything of each peer")
    _add_look(sources)
    _add_watch(command("watch", "Show the status anew every second, with trends", WATCH))
    _add_serve(command("serve", "Run a WebNTP server, without a configuration file", SERVE))
    _add_check_config(command("check-config", "Check the configuration", CHECK))
    _add_consumer_config(
        command("consumer-config", "Print what the clock's daemon must be told", CONSUMER)
    )
    _add_plot(command("plot", "Draw offset, delay and jitter over time", PLOT))
    command("install-unit", "Install the units for systemd, after pip or pipx", INSTALL_UNIT)
    command("uninstall-unit", "Remove what install-unit has installed", UNINSTALL_UNIT)
    return parser


RUN = """
Polls the configured servers, and feeds the configured refclocks, until SIGTERM
or Ctrl-C. SIGHUP reloads the configuration.
"""

QUERY = """
URL is http(s)://... or ws(s)://... Several servers are asked one after the
other, so that they do not disturb each other's samples, and then voted on.

A positive offset means that this machine's clock is behind (chronyc has the
opposite sign). The error bounds the offset's error, as long as the server is
right. The exit code is 0 if every server gave all samples, else 1.

--json prints one object: "version", "servers" and "combined", all times in
seconds. A server has "url", "kind", "samples", "estimate" (null if there is
none; "offset", "error", "delay", "jitter", "leap", "stamps") and "rejection"
(null, or "name" and "detail"). "combined" is null if no majority agrees, else
"offset", "error", "jitter" and "survivors".
"""

SIGN = """
A positive offset means that this machine's clock is behind, as in ntpq; chronyc
prints the opposite sign. --json prints what docs/status.md describes.
"""

STATUS = f"""
The first column is ntpq's tally: * the system peer, + combined with it, - not
needed, x outvoted, blank unfit. "reach" is octal, "poll" and "when" in seconds.
{SIGN}"""

TRACKING = f"""
Shows the system's offset and the bound of its error, who agrees on it, and for
each refclock the last sample and whether the consumer took the one before it.
{SIGN}"""

SOURCES = f"""
Shows the table of the peers; with -v all that is known of each.
{SIGN}"""

WATCH = f"""
Ctrl-C ends it. The trend of a peer's offset is drawn between the least and the
greatest of its last offsets, the newest to the right.
{SIGN}"""

SERVE = """
Answers on HTTP and WebSocket alike, until SIGTERM or Ctrl-C. The time is this
machine's; replies say whether the kernel holds it to be synchronised.
"""

CHECK = """
Prints one line for each fault, with file, key and reason. The service runs as
the user webntpd: root checks that this user can read the certificates and keys.
Any other user checks that with its own rights.
"""

CONSUMER = f"""
CONSUMER is one of {", ".join(Consumer)}. The lines are those
for this very configuration: unit or socket, poll, delay, precision. The last
two are as the running daemon measures them; a comment says so when it does not
answer, or has no estimate yet, and they are guessed.
"""


PLOT = f"""
DIRECTORY is that of the statistics files; default: {DEFAULT_STATISTICS}.
Each peer is drawn with the bound of its offset's error. Needs matplotlib.
"""

INSTALL_UNIT = """
Writes the units to /etc/systemd/system, and /etc/webntpd.toml unless it exists,
links manual pages and completions below /usr/local/share, and prints the next
steps. Needs root. A distribution's package has its units.
"""

UNINSTALL_UNIT = """
Stops the services and removes units, drop-ins and links. The configuration, the
user and the state stay. Needs root. Run it before `pip uninstall webntpd`.
"""


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"the configuration; default: ${CONFIG_VARIABLE}, else {DEFAULT_CONFIG}",
    )


def _add_look(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help=f"where the daemon is asked; default: ${CONTROL_VARIABLE}, else {DEFAULT_CONTROL}",
    )


def _add_watch(watch: argparse.ArgumentParser) -> None:
    _add_look(watch)
    watch.add_argument(
        "-n",
        "--interval",
        type=interval,
        default=DEFAULT_INTERVAL,
        metavar="SECONDS",
        help=f"the time between two; default: {DEFAULT_INTERVAL:g}",
    )


def _add_check_config(check: argparse.ArgumentParser) -> None:
    _add_config(check)
    check.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of the configuration, for editors, and check nothing",
    )


def _add_consumer_config(consumer: argparse.ArgumentParser) -> None:
    consumer.add_argument("consumer", choices=[*map(str, Consumer)], metavar="CONSUMER")
    _add_config(consumer)
    consumer.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        help="where the daemon is asked; default: as in the configuration",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--demo",
        action="store_true",
        help="no configuration: a server on loopback as the peer, over HTTP and WebSocket,"
        " SHM unit 2 as the output, and its status on the terminal",
    )
    _add_log_format(parser)
    _add_config(which)  # type: ignore[arg-type]  # a group adds arguments as a parser does


def _add_log_format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-format",
        choices=[*map(str, LogFormat)],
        metavar="FORMAT",
        help="text, json, or auto: fields for the journal where it reads them, else text;"
        f" default: ${LOG_FORMAT_VARIABLE}, else auto",
    )


def _add_query(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("urls", nargs="+", metavar="URL")
    add(
        "-p",
        "--samples",
        type=count,
        default=DEFAULT_SAMPLES,
        metavar="SAMPLES",
        help=f"samples of each server, 1 to {MOST_SAMPLES}; default: {DEFAULT_SAMPLES}",
    )
    add("--json", action="store_true", help="print JSON")
    add("--kind", choices=[*map(str, Kind)], metavar="KIND", help=KIND_HELP)
    add("--accept-date", action="store_true", help="make do with the Date header of a time-header")
    add("--proxy", metavar="URL", help='HTTP proxy, "" for none; default: from the environment')
    add("--ca-file", type=Path, metavar="FILE", help="certificates to trust, not the system's")
    add("--timeout", type=float, metavar="SECONDS", help="of each step; default: 5")


KIND_HELP = 'how to ask, where the URL does not say: "time-header" for Time over HTTPS'


def count(text: str) -> int:
    """A number of samples; argparse names this function when it is no number at all."""
    value = int(text)
    if not 1 <= value <= MOST_SAMPLES:
        raise argparse.ArgumentTypeError(f"must be 1 to {MOST_SAMPLES}, not {value}")
    return value


def _add_plot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory", nargs="?", type=Path, default=DEFAULT_STATISTICS, metavar="DIRECTORY"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=picture,
        default=DEFAULT_PICTURE,
        metavar="FILE",
        help=f"the picture, .svg or .png; default: {DEFAULT_PICTURE}",
    )
    parser.add_argument(
        "--days",
        type=days,
        default=DEFAULT_DAYS,
        metavar="DAYS",
        help=f"how far back, fractions too; default: {DEFAULT_DAYS:g}",
    )


def picture(text: str) -> Path:
    """The file of a picture."""
    if not text.endswith((".svg", ".png")):
        raise argparse.ArgumentTypeError(f"must end in .svg or .png, not {text!r}")
    return Path(text)


def days(text: str) -> float:
    """A number of days."""
    value = float(text)
    if not 0 < value <= 36_500:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 36500, not {text}")
    return value


def interval(text: str) -> float:
    """A time between two requests, s."""
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"must be 0.1 to 3600 s, not {text}")
    return value


def _add_serve(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "listen",
        nargs="*",
        default=[DEFAULT_ADDRESS],
        metavar="ADDR:PORT",
        help=f"where to listen; default: {DEFAULT_ADDRESS}",
    )
    add("--local", action="store_true", help="declare this machine's clock good")
    add("--allow-cross-origin", action="store_true", help="let web pages of any origin ask")
    _add_log_format(parser)
    add("--workers", type=int, metavar="N", help="processes that serve; default: 0, only this one")
    # A server whose clock is wrong by a known amount is what tests of a client need.
    add("--clock-shift", type=float, default=0.0, help=argparse.SUPPRESS)
