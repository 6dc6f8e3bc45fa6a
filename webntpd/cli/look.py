"""The commands that show a running daemon: status, tracking, sources, watch.

What they print is made by the daemon, so that an old command shows a new daemon as well.
"""

import argparse
import json
import sys
import time
from typing import Any

from webntpd.cli.arguments import Exit
from webntpd.cli.controlclient import AskError, NotRunningError, request_view, socket_path
from webntpd.cli.terminal import LiveView


def look(arguments: argparse.Namespace) -> int:
    """Run the chosen command; the exit code."""
    try:
        if arguments.command == "watch":
            watch(arguments)
        else:
            show(arguments)
    except NotRunningError as error:
        print(f"webntpd: {error}", file=sys.stderr)
        return Exit.NOT_RUNNING
    except AskError as error:
        print(f"webntpd: {error}", file=sys.stderr)
        return Exit.FAILED
    return Exit.OK


def show(arguments: argparse.Namespace) -> None:
    """Print a view once."""
    verbose = "-verbose" if getattr(arguments, "verbose", False) else ""
    reply = view(arguments, arguments.command + verbose)
    print(json.dumps(reply, indent=2) if arguments.json else "\n".join(reply["lines"]))


def watch(arguments: argparse.Namespace) -> None:
    """Show the state anew every now and then, until interrupted."""
    screen = LiveView(sys.stdout)
    while True:
        reply = view(arguments, "watch")
        if arguments.json:
            print(json.dumps(reply), flush=True)
        else:
            screen.show(reply["lines"])
        time.sleep(arguments.interval)


def view(arguments: argparse.Namespace, name: str) -> dict[str, Any]:
    return request_view(socket_path(arguments.socket), "json" if arguments.json else name)
