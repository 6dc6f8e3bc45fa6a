"""The configuration file that is installed: every key with its default and its help.

`python -m webntpd.config.example` prints etc/webntpd.toml.
"""

import dataclasses
import json
import textwrap
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from webntpd.config.document import OUTPUTS, PARAMETERS
from webntpd.config.sections import Key, keys_of
from webntpd.exchange.base import ExchangeParameters

WIDTH = 100
RULE = "# " + "-" * 93
HEAD = """
# /etc/webntpd.toml: the configuration of webntpd.
#
# A line that begins with "#" and a key shows that key's default; to change it, remove the "#".
# Unknown keys are refused: `webntpd check-config` names each fault, `systemctl reload webntpd`
# brings a change into force, and keeps the old configuration if the new one has a fault.
# The environment goes before this file: WEBNTPD_LOG__LEVEL=debug, WEBNTPD_SERVER__LISTEN='["[::]:8080"]'.
# Times are in seconds; minpoll and maxpoll are powers of two, as in ntp.conf: 6 is 64 s.
# `webntpd check-config --schema` prints a JSON Schema of this file, for editors.
""".strip()  # noqa: E501 - a line of the file


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """A table of the file: its name, the text above it, and the section with its keys.

    A part that is not `active` is a comment itself. `rule` draws a line above it. The `last` keys
    stand behind all others. A part without a section is a text alone.
    """

    name: str = ""
    text: str = ""
    section: str | None = None
    active: bool = True
    rule: bool = True
    last: frozenset[str] = frozenset()

    @property
    def keys(self) -> list[Key]:
        """The keys in the order of the file."""
        found = keys_of(*PARAMETERS[self.section]) if self.section else []
        return sorted(found, key=lambda key: key.name in self.last)


PARTS = (
    Part(
        "[[peer]]",
        "The servers to poll: one [[peer]] each, as many as you like. There is none at first, so"
        " the daemon does not start before you have named one. With four or more, one that lies is"
        " outvoted.",
        "peer",
        active=False,
        last=frozenset(each.name for each in keys_of(ExchangeParameters)) - {"url", "kind"},
    ),
    Part(
        text="The consumers of the offset: one [[refclock]] each. `webntpd consumer-config chrony`"
        " (or ntpsec, ntpd, ntpd-rs) prints the lines for the consumer's own configuration.",
    ),
    Part("[[refclock]]", "Shared memory, for NTPsec, ntpd and chrony.", "shm", rule=False),
    Part(
        "[[refclock]]",
        "A socket that chrony or ntpd-rs makes.",
        "sock",
        active=False,
        rule=False,
    ),
    Part("[system]", section="system"),
    Part("[server]", "A WebNTP server of your own.", "server"),
    *(
        Part(f"[{name}]", section=name)
        for name in ("leap", "state", "statistics", "metrics", "control", "log")
    ),
)


def example() -> str:
    """The text of the file."""
    return "\n".join([HEAD, *(line for part in PARTS for line in part_lines(part))]) + "\n"


def part_lines(part: Part) -> Iterator[str]:
    """An empty line, and the lines of one table."""
    yield ""
    if part.rule:
        yield RULE
    yield from comment(part.text)
    mark = "" if part.active else "#"
    if part.name:
        yield f"{mark}{part.name}"
    if part.section in OUTPUTS:
        yield f'{mark}type = "{part.section}"'
    explained = ""
    for key in part.keys:
        if key.help.text != explained:
            yield from comment(key.help.text)
        explained = key.help.text
        yield f"#{key.name} = {shown(value_of(key))}"


def comment(text: str) -> Iterator[str]:
    """A text as lines of comment."""
    for line in textwrap.wrap(text, WIDTH - 2, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"


def value_of(key: Key) -> Any:
    """The default of a key, or an example where there is none."""
    given = key.help.example
    return key.default if given is None else given


def shown(value: Any) -> str:
    """A value as TOML."""
    match value:
        case Enum():
            return json.dumps(value.value)
        case Path():
            return json.dumps(str(value))
        case frozenset():
            return json.dumps(sorted(value))
    return json.dumps(value)


if __name__ == "__main__":
    print(example(), end="")
