"""The faults of a configuration, one line each: the file, the key, the reason."""

import codecs
import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from webntpd.config.document import ARRAYS, ENV_DELIMITER, ENV_PREFIX, OUTPUTS, SECTIONS, Document
from webntpd.names import CONFIG_VARIABLE, LOG_FORMAT_VARIABLE

REMOVED: Mapping[tuple[str, str], str] = {}
"""The advice for each removed key, by section (or type of refclock) and key.

A key that is removed or renamed gets an entry here.
"""
OUTPUT = "refclock"
POLLS = ("minpoll", "maxpoll")
INTERVALS = range(20, 2**17 + 1)
"""Values of a poll that are probably meant as seconds, and not as a power of two."""
LISTENERS = {"listen", "listen_tls"}
SYNTAX_REMEDIES = {
    "Invalid value": "a text must stand in quotes",
    "Illegal character '\\n'": "the closing quotation mark is missing",
    "Cannot overwrite a value": "the key or section stands twice",
}
"""The remedy for each of tomllib's reasons that does not tell it."""

Location = tuple[int | str, ...]


class ConfigError(Exception):
    """A configuration that cannot be used: `faults` holds one line for each reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Key:
    """The place of a fault: the section, its index among those of its kind (from 0), and the key.

    The section is empty for a key that stands above all sections.
    """

    section: str
    index: int | None = None
    name: str | None = None

    @classmethod
    def of_location(cls, location: Location) -> "Key":
        match location:
            case ("refclock", int(index), str(), str(name), *_):
                return cls("refclock", index, name)
            case ("peer", int(index), str(name), *_):
                return cls("peer", index, name)
            case (str(section), int(index), *_):
                return cls(section, index)
            case (str(section), str(name), *_):
                return cls(section, None, name)
        return cls(str(location[0]))

    @property
    def variable(self) -> str | None:
        """The environment variable that gave this key, if one did."""
        variables = {name.upper() for name in os.environ}
        whole = f"{ENV_PREFIX}{self.section}".upper()
        own = f"{whole}{ENV_DELIMITER}{self.name}".upper()
        return next((each for each in (own, whole) if each in variables), None)

    def __str__(self) -> str:
        """As an administrator would look for it: [[peer]] #2 url."""
        if not self.section:
            return str(self.name)
        section = _printable(self.section)
        text = f"[[{section}]]" if section in ARRAYS else f"[{section}]"
        if self.index is not None:
            text += f" #{self.index + 1}"
        return text if self.name is None else f"{text} {_printable(self.name)}"


def line(path: Path, key: Key, reason: str) -> str:
    """`FILE: KEY: reason`, or with the variable's name where the environment gave the value."""
    if variable := key.variable:
        item = f": {key}" if key.index is not None else ""
        return f"environment: {variable}{item}: {reason}"
    return f"{path}: {key}: {reason}"


def file_fault(path: Path, *, must_exist: bool) -> str | None:
    """Why `path` cannot be read as a file; None if it can, or if it may be missing and is."""
    if path.is_dir():
        return f"{path}: is a directory, and must be a file"
    if must_exist and not path.exists():
        return f"{path}: there is no such file"
    if path.exists() and not path.is_file():
        return f"{path}: is no regular file"
    return None


def encoding_fault(path: Path, error: UnicodeDecodeError) -> str:
    if error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{path}: is UTF-16: save it as UTF-8"
    return f"{path}: byte {error.start}: not UTF-8"


def syntax_fault(path: Path, error: tomllib.TOMLDecodeError) -> str:
    """From `REASON (at line N, column M)`, or `REASON (at end of document)`."""
    if path.read_bytes().startswith(codecs.BOM_UTF8):
        return f"{path}: begins with a byte order mark: save it as UTF-8 without one"
    reason, _, place = str(error).rpartition(" (at ")
    place = place.rstrip(")")
    where = place.replace(", column", " column")
    return ": ".join(filter(None, (str(path), where, reason, SYNTAX_REMEDIES.get(reason))))


def validation_faults(path: Path, error: ValidationError) -> list[str]:
    """One line for each key that is wrong, with all of its reasons."""
    reasons: dict[Key, list[str]] = {}
    for details in error.errors():
        key = Key.of_location(details["loc"])
        if _stands_above_its_section(details):
            key = Key("", None, key.section)
        reason = _remedy(details) or _reason(details)
        if reason not in reasons.setdefault(key, []):
            reasons[key].append(reason)
    return [line(path, key, ", or ".join(each)) for key, each in reasons.items()]


def section_faults(error: ValidationError) -> list[str]:
    """The same for keys that were given one by one, so that no file has to be named."""
    return [
        ": ".join([*map(str, details["loc"][:1]), _remedy(details) or _reason(details)])
        for details in error.errors()
    ]


def unknown_variables() -> Iterator[str]:
    """A fault for each WEBNTPD_ variable that names no section: a misspelt one must not pass."""
    sections = Document.model_fields
    known = {CONFIG_VARIABLE, LOG_FORMAT_VARIABLE} | {
        f"{ENV_PREFIX}{section}".upper() for section in sections
    }
    for name in sorted(os.environ):
        upper = name.upper()
        if upper.startswith(ENV_PREFIX) and _section_of(upper) not in known:
            yield f"environment: {name}: unknown{_suggestion_for(upper, known)}"


def _suggestion_for(variable: str, known: set[str]) -> str:
    """The nearest variable: the misspelt section with the rest of the name, or a whole name."""
    section, delimiter, key = variable.partition(ENV_DELIMITER)
    near = _nearest(
        section.removeprefix(ENV_PREFIX), {each.removeprefix(ENV_PREFIX) for each in known}
    )
    return f"; did you mean {ENV_PREFIX}{near}{delimiter}{key}?" if near else ""


def _section_of(variable: str) -> str:
    section, _, _ = variable.removeprefix(ENV_PREFIX).partition(ENV_DELIMITER)
    return f"{ENV_PREFIX}{section}"


def _remedy(details: ErrorDetails) -> str | None:
    """The message, with the remedy, for a common fault; None for any other fault."""
    location, value = details["loc"], details["input"]
    match details["type"]:
        case "extra_forbidden" if _stands_above_its_section(details):
            return f"stands above its section: write it below {_owners(str(location[0]))}"
        case "less_than_equal" if location[-1] in POLLS and value in INTERVALS:
            return f"is a power of two: for {value} s write {round(math.log2(value))}, not {value}"
        case "list_type" if location[-1] in LISTENERS:
            return f'must be a list, such as ["127.0.0.1:8080"], not {_shown(value)}'
        case "string_type" if LISTENERS & set(location):
            return f'must be an address in quotes, such as "127.0.0.1:8080", not {_shown(value)}'
    return None


def _reason(details: ErrorDetails) -> str:
    location, value = details["loc"], details["input"]
    match details["type"]:
        case "extra_forbidden":
            reason = _unknown(location)
        case "missing":
            reason = "is missing"
        case "union_tag_not_found" | "union_tag_invalid":
            reason = 'type must be "shm" or "sock"'
        case "model_type" | "model_attributes_type":
            reason = f"must be a table, not {_shown(value)}"
        case "list_type" if location[0] in ARRAYS and isinstance(value, dict):
            reason = f"must be written [[{location[0]}]], with two brackets"
        case "value_error":
            reason = str(details["ctx"]["error"])
        case _ if location[-1] == "proxy":
            reason = details["msg"].removeprefix("Input ")
        case _:
            reason = f"{details['msg'].removeprefix('Input ')}, not {_shown(value)}"
    return reason


def _stands_above_its_section(details: ErrorDetails) -> bool:
    """Whether the fault is a known key that stands above the first section."""
    location = details["loc"]
    unknown = details["type"] == "extra_forbidden" and len(location) == 1
    return unknown and not isinstance(details["input"], dict) and _owners(str(location[0])) != ""


def _owners(name: str, but: str = "") -> str:
    """The sections that have this key, in the file's notation, except the section `but`."""
    sections = (
        _section_with(owner) for owner, keys in SECTIONS.items() if name in keys.model_fields
    )
    return " or ".join(str(Key(each)) for each in dict.fromkeys(sections) if each != but)


def _section_with(owner: str) -> str:
    return OUTPUT if owner in OUTPUTS else owner


def _unknown(location: Location) -> str:
    if len(location) == 1:
        near = _nearest(str(location[0]), set(Document.model_fields))
        return f"unknown section; did you mean {Key(near)}?" if near else "unknown section"
    *_, owner, name = (part for part in location if isinstance(part, str))
    if advice := REMOVED.get((owner, name)):
        return f"this key was removed: {advice}"
    if owners := _owners(name, but=_section_with(owner)):
        return f"unknown key here: it belongs in {owners}"
    return f"unknown key{_suggestion(name, set(SECTIONS[owner].model_fields))}"


def _suggestion(name: str, known: set[str]) -> str:
    near = _nearest(name, known)
    return f"; did you mean {near}?" if near else ""


def _nearest(name: str, known: set[str]) -> str | None:
    return next(iter(difflib.get_close_matches(name, sorted(known), n=1)), None)


def _printable(name: str) -> str:
    """A quoted key of TOML may hold anything, a new line too."""
    return name if name.isprintable() else _shown(name)


def _shown(value: Any) -> str:
    """A value, without the password that a URL in it may hold."""
    text = re.sub(r"://.*@", "://...@", repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."
