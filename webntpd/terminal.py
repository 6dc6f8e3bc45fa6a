"""Lines on a terminal that are drawn anew in place, and plain lines where there is no terminal."""

import os
import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

UP_AND_CLEAR = "\x1b[{}F\x1b[J"
"""ECMA-48: to the beginning of the line so many lines above, and erase from there on."""
HOME_AND_CLEAR = "\x1b[H\x1b[J"
"""To the upper left corner, and erase from there on."""
CLEAR_LINE = "\r\x1b[K"


def hang_up() -> None:
    """Whoever read the output has had enough; the interpreter would try once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
            self._erase()
            self._block = lines
            self._draw()
        else:
            self._stream.write("".join(f"{line}\n" for line in lines if line not in self._block))
            self._block = lines
        self._stream.flush()

    def write(self, text: str) -> int:
        """Write whole lines above the block."""
        if self._live:
            self._erase()
        self._stream.write(text)
        if self._live:
            self._draw()
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def _erase(self) -> None:
        size = shutil.get_terminal_size()
        if self._drawn and size != self._size:
            # The terminal may have wrapped and moved what was there: nobody knows where it is now.
            self._stream.write(HOME_AND_CLEAR)
        elif self._drawn:
            self._stream.write(UP_AND_CLEAR.format(self._drawn))
        self._size = size

    def _draw(self) -> None:
        # A line that wraps would be two, and one that scrolls out of sight is out of reach: the
        # next erasing would leave it behind. The cursor has the last row.
        width, height = self._size
        lines = self._block[: height - 1]
        self._stream.write("".join(f"{line[:width]}\n" for line in lines))
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
