"""The `webntpd` command: from arguments to exit codes.

The commands that look at a running daemon answer at once, so the daemon's own parts, which take
longer to import than such a command to run, are imported for the others alone.
"""

import argparse
import sys
from collections.abc import Sequence

from webntpd.cli.arguments import LOOKS, Exit, make_parser
from webntpd.cli.look import look
from webntpd.cli.terminal import hang_up, output_fault


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code. Wrong arguments raise SystemExit(2), as argparse does."""
    try:
        code = run(parsed(argv))
        sys.stdout.flush()
    except BrokenPipeError:
        hang_up()
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except OSError as error:
        if (fault := output_fault(error)) is None:
            raise
        print(f"webntpd: {fault}", file=sys.stderr)
        return Exit.FAILED
    return code


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Raises SystemExit after a help text, and OSError if that cannot be written."""
    try:
        return make_parser().parse_args(argv)
    finally:
        sys.stdout.flush()


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen command; the exit code."""
    if arguments.command in LOOKS:
        return look(arguments)
    from webntpd.cli.commands import carry_out  # noqa: PLC0415 - see the module's head

    return carry_out(arguments)
