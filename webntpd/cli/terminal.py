"""Lines on a terminal that are drawn anew in place, and plain lines where there is no terminal."""

import errno
import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

UP = "\x1b[{}F"
"""ECMA-48: to the beginning of the line so many lines above."""
HOME = "\x1b[H"
"""To the upper left corner."""
CLEAR_REST = "\x1b[K"
"""Erase from here to the end of the line."""
CLEAR_BELOW = "\x1b[J"
"""Erase from here on."""
CLEAR_LINE = f"\r{CLEAR_REST}"

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""The errors of a standard output that takes no more."""


def hang_up() -> None:
    """Send further output to /dev/null, so that the interpreter's last write does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def output_fault(error: OSError) -> str | None:
    """Why the standard output could not be written; None if the error is about another file."""
    if error.errno not in NO_ROOM or error.filename is not None:
        return None
    hang_up()
    return f"the output cannot be written: {error.strerror}"


class LiveView:
    """A block of lines at the end of the terminal; text written to it scrolls by above the block.

    It has the write and flush of a stream, so that a log handler can write above the block.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()
        self._block: Sequence[str] = ()
        self._drawn = 0
        self._size = shutil.get_terminal_size()

    def show(self, lines: Sequence[str]) -> None:
        """Draw `lines` in the place of the block; without a terminal, print those that are new."""
        if self._live:
            self._go_back()
            self._block = lines
            self._draw()
        else:
            self._stream.write("".join(f"{line}\n" for line in lines if line not in self._block))
            self._block = lines
        self._stream.flush()

    def write(self, text: str) -> int:
        """Write whole lines above the block."""
        if self._live:
            self._go_back()
            self._stream.write(text.replace("\n", f"{CLEAR_REST}\n"))
            self._draw()
        else:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def _go_back(self) -> None:
        """To where the block begins. It is written over: erasing it first would have it flicker."""
        size = shutil.get_terminal_size()
        if self._drawn and size != self._size:
            # The terminal may have wrapped and moved the old lines, so their place is unknown.
            self._stream.write(HOME + CLEAR_BELOW)
        elif self._drawn:
            self._stream.write(UP.format(self._drawn))
        self._size = size

    def _draw(self) -> None:
        # A line that wraps would be two, and one that scrolls out of sight is out of reach: the
        # next block would leave it behind. The cursor has the last row.
        width, height = self._size
        lines = self._block[: height - 1]
        drawn = "".join(f"{line[:width]}{CLEAR_REST}\n" for line in lines)
        self._stream.write(drawn + CLEAR_BELOW)
        self._drawn = len(lines)


class Progress:
    """One line that says how far it is, on a terminal only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live = stream.isatty()

    def show(self, text: str) -> None:
        """Replace the line; an empty text takes it away."""
        if self._live:
            self._stream.write(CLEAR_LINE + text)
            self._stream.flush()
