"""The `webntpd` command: from arguments to exit codes.

The commands that look at a running daemon answer at once, so the daemon's own parts, which take
longer to import than such a command to run, are imported for the others alone.
"""

import os
import sys
from collections.abc import Sequence

from webntpd.arguments import LOOKS, Exit, make_parser
from webntpd.look import look


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit code. Wrong arguments raise SystemExit(2), as argparse does."""
    arguments = make_parser().parse_args(argv)
    try:
        if arguments.command in LOOKS:
            return look(arguments)
        from webntpd.commands import carry_out  # noqa: PLC0415 - see the module's head

        return carry_out(arguments)
    except BrokenPipeError:
        # Whoever read the output has had enough; the interpreter would try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
