"""What a document holds that can be tested: its blocks of code, its code words, its links.

A block says what it is behind its fence, ```toml for one; an indented block is commands.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

COMMANDS = "sh"

FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}.*)?\n)*(?: {4}.*\n)")
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
MANUAL_FILE = re.compile(r"^\.IR? (/(?:etc|usr)/\S+)", re.MULTILINE)
EXAMPLE = re.compile(r"^\.EX\n(.*?)^\.EE$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of code, of some kind, that begins at a line."""

    line: int
    kind: str
    text: str


class Document:
    """A file in Markdown."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text()

    @cached_property
    def blocks(self) -> list[Block]:
        """In the order in which a reader comes to them."""
        fenced = [
            Block(self._line_at(match.start()), match[2], textwrap.dedent(match[3]))
            for match in FENCE.finditer(self.text)
        ]
        indented = [
            Block(self._line_at(match.start()), COMMANDS, textwrap.dedent(match[0]))
            for match in INDENTED.finditer(self._blank(FENCE, self.text))
            if not self._in_list(match.start())
        ]
        return sorted(fenced + indented, key=lambda block: block.line)

    @cached_property
    def prose(self) -> str:
        """The text without its blocks of code."""
        return self._blank(INDENTED, self._blank(FENCE, self.text))

    @property
    def spans(self) -> list[str]:
        """What stands in `backquotes`."""
        return SPAN.findall(self.prose)

    @property
    def links(self) -> list[str]:
        return LINK.findall(self.prose)

    @property
    def anchors(self) -> set[str]:
        """The names by which links find the headings."""
        plain = (
            re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(self.prose)
        )
        return {heading.strip().replace(" ", "-") for heading in plain}

    def section(self, heading: str) -> str:
        """The text below a heading, up to the next one."""
        starts = [*(match.start() for match in HEADING.finditer(self.prose)), len(self.prose)]
        parts = (self.prose[start:end] for start, end in pairwise(starts))
        return next(part for part in parts if part.splitlines()[0].lstrip("# ") == heading)

    def _line_at(self, position: int) -> int:
        return self.text.count("\n", 0, position) + 1

    def _in_list(self, position: int) -> bool:
        """Whether what is indented there goes on with an item of a list."""
        above = self.text[:position].rstrip("\n").rpartition("\n")[2]
        return re.match(r" *([-*]|\d+\.) | +\S", above) is not None

    @staticmethod
    def _blank(pattern: re.Pattern[str], text: str) -> str:
        """The text with matches made empty lines, so that every line keeps its number."""
        return pattern.sub(lambda match: "\n" * match[0].count("\n"), text)


def manual_examples(page: str) -> Iterator[Block]:
    """The examples of a manual page, as if they were commands."""
    for match in EXAMPLE.finditer(page):
        line = page.count("\n", 0, match.start()) + 1
        yield Block(line, COMMANDS, textwrap.dedent(match[1]).replace(r"\-", "-"))


def manual_files(page: str) -> set[str]:
    """The files and directories below /etc and /usr that a manual page speaks of."""
    return set(MANUAL_FILE.findall(page.replace(r"\-", "-")))
