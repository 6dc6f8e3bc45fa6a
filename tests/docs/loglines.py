"""Tells whether the program can say a line that a document quotes, from its source code.

A text in the source that is put together from parts is a pattern: anything may stand where a part
is filled in. A line has to match one that says something by itself.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.system.harness import ROOT
from webntpd.ntp.readings import Rejection

LEAST = 9
"""Letters that a pattern has at least: one that is all gaps would match anything."""
FILLED_IN = re.compile(r"%\+?(?:\.\d)?[sdrfg]|%%|\{\w+\}")
# A rejection is known by its name: the detail may be the system's own words, or the server's.
REJECTION = re.compile(rf"peer \S+: (?:unreachable, )?(?:{'|'.join(Rejection)}): .+")
# Whose line it is stands before what it says.
OWNER = re.compile(
    r"webntpd: |peer \S+: (?:unreachable, )?|(?:SHM|SOCK)\(\S+\): "
    r"|/\S+: (?:\[+\w+\]+(?: #\d+)?(?: \w+)?|\w+): "
)


def unknown_lines(text: str) -> list[str]:
    """The lines that nothing in the source can be."""
    return [line for line in text.splitlines() if not is_known(line)]


def is_known(line: str) -> bool:
    candidates = (line, OWNER.sub("", line, count=1))
    return REJECTION.fullmatch(line) is not None or any(
        pattern.fullmatch(each) for pattern in patterns() for each in candidates
    )


@cache
def patterns() -> tuple[re.Pattern[str], ...]:
    return tuple(
        re.compile(".*".join(map(re.escape, parts)))
        for path in sorted((ROOT / "webntpd").rglob("*.py"))
        for parts in texts(ast.parse(path.read_text()))
        if sum(map(str.isalpha, "".join(parts))) >= LEAST
    )


def texts(tree: ast.AST) -> Iterator[list[str]]:
    """Each text in the source as what stands between its gaps."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values
            ).split("\0")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield FILLED_IN.sub("\0", node.value).split("\0")
