"""The commands that need the parts of the daemon: run, serve, query and those on configuration."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import trio

from webntpd import log
from webntpd.cli import units
from webntpd.cli.arguments import Exit
from webntpd.cli.consumers import ConsumerError, Facts, Version, consumer_lines, measurements
from webntpd.cli.controlclient import AskError, NotRunningError, request_view
from webntpd.cli.demo import demo_config
from webntpd.cli.plot import PlotError
from webntpd.cli.plot.series import read_peerstats
from webntpd.cli.survey import survey
from webntpd.cli.survey_views import survey_json, survey_lines
from webntpd.cli.terminal import LiveView, Progress
from webntpd.clock.clocks import Clock, ShiftedClock, SystemClock
from webntpd.config import Config, ConfigError, load, load_to_run, notes, peer_from, server_from
from webntpd.config.access import check_files
from webntpd.config.document import json_schema
from webntpd.daemon.supervisor import run_daemon
from webntpd.exchange.resolver import Resolver
from webntpd.names import CONFIG_VARIABLE, DEFAULT_CONFIG, LOG_FORMAT_VARIABLE, Consumer
from webntpd.refclock.base import RefclockError
from webntpd.server import ServerError
from webntpd.status.peers import status_lines
from webntpd.status.snapshot import Status

T = TypeVar("T")

NOT_DONE = (RefclockError, ServerError, ConsumerError, units.UnitError, PlotError)
"""The errors after which a command ends with a line of text and Exit.FAILED."""
WITHOUT_FILE = ("query", "serve")
"""The commands whose parameters come from the arguments, not from a configuration file."""


def carry_out(arguments: argparse.Namespace) -> int:
    """Run the chosen command; the exit code."""
    try:
        return COMMANDS[arguments.command](arguments)
    except ConfigError as error:
        # A fault of a file begins with the name of the file, a fault of the arguments with ours.
        prefix = "webntpd: " if arguments.command in WITHOUT_FILE else ""
        print("\n".join(f"{prefix}{fault}" for fault in error.faults), file=sys.stderr)
        return Exit.USAGE
    except NOT_DONE as error:
        print(f"webntpd: {error}", file=sys.stderr)
        return Exit.FAILED


def config_path(arguments: argparse.Namespace) -> Path | None:
    """The file that was asked for, or None for the default one."""
    if arguments.config is not None:
        return Path(arguments.config)
    variable = os.environ.get(CONFIG_VARIABLE)
    return Path(variable) if variable else None


def run(arguments: argparse.Namespace) -> int:
    if arguments.demo:
        return demo()
    path = config_path(arguments)
    set_up_log(arguments)
    return daemon(lambda: load_to_run(path), SystemClock(), accepted=take_log_level)


def take_log_level(config: Config) -> None:
    log.set_level(config.log_level)


def set_up_log(arguments: argparse.Namespace) -> None:
    if arguments.log_format:
        os.environ[LOG_FORMAT_VARIABLE] = arguments.log_format  # for worker processes, too
    log.set_up()


def demo() -> int:
    view = LiveView(sys.stdout)
    config = demo_config()
    log.set_up(view)
    log.set_level("warning")

    def show(status: Status) -> None:
        view.show(["webntpd demo; Ctrl-C ends it.", "", *status_lines(status)])

    return daemon(lambda: config, SystemClock(), show)


def run_server(arguments: argparse.Namespace) -> int:
    server = server_from(
        {
            "listen": arguments.listen,
            "local": arguments.local,
            "allow_cross_origin": arguments.allow_cross_origin,
            "workers": arguments.workers,
        }
    )
    config = Config(server=server)
    clock = ShiftedClock(arguments.clock_shift) if arguments.clock_shift else SystemClock()
    set_up_log(arguments)
    log.set_level(config.log_level)
    return daemon(lambda: config, clock)


def daemon(
    load_configuration: Callable[[], Config],
    clock: Clock,
    observe: Callable[[Status], None] = lambda _: None,
    *,
    accepted: Callable[[Config], None] = lambda _: None,
) -> int:
    """Run until a signal ends it."""

    async def run_until_stopped() -> None:
        await run_daemon(load_configuration, clock, observe=observe, accepted=accepted)

    run_trio(run_until_stopped)
    return Exit.OK


def run_trio(function: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """As trio.run(), with our resolver. An exception is raised without the groups around it."""

    async def run() -> T:
        trio.socket.set_custom_hostname_resolver(Resolver())
        return await function(*arguments)

    try:
        return trio.run(run)
    except BaseExceptionGroup as group:
        error = innermost(group)
    raise error  # outside of the handler: the error keeps its own cause


def innermost(error: BaseException) -> BaseException:
    """The one exception in a group in a group; the group itself if there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def query(arguments: argparse.Namespace) -> int:
    keys = {
        "kind": arguments.kind,
        "proxy": arguments.proxy,
        "ca_file": arguments.ca_file,
        "timeout": arguments.timeout,
        "accept_date": arguments.accept_date,
    }
    specs = [peer_from({"url": url, **keys}) for url in dict.fromkeys(arguments.urls)]
    progress = Progress(sys.stderr)
    result = run_trio(survey, specs, arguments.samples, SystemClock(), progress.show)
    if arguments.json:
        print(json.dumps(survey_json(result), indent=2))
    else:
        print("\n".join(survey_lines(result)))
    return Exit.OK if result.complete else Exit.FAILED


def check_config(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        print(json.dumps(json_schema(), indent=2))
        return Exit.OK
    path = config_path(arguments)
    config = load_to_run(path)
    user, faults = check_files(config, path or DEFAULT_CONFIG)
    if faults:
        raise ConfigError(faults)
    server = " and a server" if config.server else ""
    for note in notes(config):
        print(f"{path or DEFAULT_CONFIG}: note: {note}")
    print(
        f"good: {len(config.peers)} peers, {len(config.refclocks)} refclocks{server};"
        f" checked as the user {user}"
    )
    return Exit.OK


def consumer_config(arguments: argparse.Namespace) -> int:
    config = load(config_path(arguments))
    consumer = Consumer(arguments.consumer)
    facts = facts_from(arguments.socket or config.control)
    if consumer is Consumer.NTPD_RS:
        facts = replace(facts, ntpd_rs=ntpd_rs_version())
    print("\n".join(consumer_lines(config, consumer, facts)))
    return Exit.OK


def facts_from(socket: Path | None) -> Facts:
    """The measurements of the daemon that is asked at `socket`, or the reason for none."""
    if socket is None:
        return Facts(why_none="the configuration has no control socket to ask the daemon at")
    try:
        combined, peers = measurements(request_view(socket, "json"))
    except NotRunningError:
        return Facts(why_none=f"no daemon answers at {socket}")
    except AskError as error:
        return Facts(why_none=str(error))
    return Facts(
        combined,
        peers,
        source=f"the daemon at {socket}",
        why_none=f"the daemon at {socket} has no estimate yet",
    )


def ntpd_rs_version() -> Version | None:
    """The version of the ntpd-rs that is installed here, as (1, 4, 0)."""
    program = shutil.which("ntp-ctl")
    if program is None:
        return None
    try:
        said = subprocess.run(  # noqa: S603 - the administrator's own program, without input
            [program, "--version"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    numbers = re.search(r"(\d+)\.(\d+)\.(\d+)", said.stdout + said.stderr)
    return tuple(map(int, numbers.groups())) if numbers else None


UNITS_INSTALLED = """
Then, with servers named in /etc/webntpd.toml:
    systemd-sysusers
    systemctl daemon-reload
    {command} check-config
    systemctl enable --now webntpd"""
UNITS_REMOVED = """
These stay: /etc/webntpd.toml and /etc/webntpd-server.toml, the user webntpd, /var/lib/webntpd
and /var/log/webntpd. If a consumer makes a socket for webntpd, restart it."""
NO_UNITS = "there are no units that install-unit has written"


def install_unit(_arguments: argparse.Namespace) -> int:
    installation = units.this_installation()
    for path in units.install(installation):
        print(f"wrote {path}")
    print(UNITS_INSTALLED.format(command=installation.command))
    return Exit.OK


def uninstall_unit(_arguments: argparse.Namespace) -> int:
    """Stop the services, remove the files, and have systemd reload its units."""
    services = [path.name for path in units.installed() if path.suffix in (".service", ".socket")]
    if services:
        _systemctl("stop", *services)
    removed = False
    for path in units.uninstall():
        print(f"removed {path}")
        removed = True
    if services:
        _systemctl("daemon-reload")
    print(UNITS_REMOVED if removed else NO_UNITS)
    return Exit.OK


def _systemctl(*arguments: str) -> None:
    """Call systemctl, if systemd runs here. Raises UnitError if the call fails."""
    program = shutil.which("systemctl")
    if program is None or not Path("/run/systemd/system").is_dir():
        return
    command = (program, "--quiet", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a path
    if done.returncode != 0:
        raise units.UnitError(f"systemctl {arguments[0]}: {done.stderr.strip()}")


def plot(arguments: argparse.Namespace) -> int:
    try:
        series = read_peerstats(arguments.directory, time.time() - arguments.days * 86_400)
        if not series:
            days = f"{arguments.days:g} days"
            raise PlotError(f"no peerstats of the last {days} in {arguments.directory}")
        if find_spec("matplotlib") is None:
            raise PlotError(NO_MATPLOTLIB)
        from webntpd.cli.plot.picture import draw  # noqa: PLC0415 - it imports matplotlib, an extra

        draw(series, arguments.output)
    except OSError as error:
        raise PlotError(f"{error.filename}: {error.strerror}") from error
    print(f"wrote {arguments.output}")
    return Exit.OK


NO_MATPLOTLIB = (
    "plot needs matplotlib: apt install python3-matplotlib, or pip install 'webntpd[plot]'"
)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "query": query,
    "serve": run_server,
    "check-config": check_config,
    "consumer-config": consumer_config,
    "plot": plot,
    "install-unit": install_unit,
    "uninstall-unit": uninstall_unit,
}
