"""Reads the configuration, and refuses one that contradicts itself."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from webntpd.config.document import SECTIONS, Document
from webntpd.config.faults import (
    ConfigError,
    Key,
    encoding_fault,
    file_fault,
    line,
    section_faults,
    syntax_fault,
    unknown_variables,
    validation_faults,
)
from webntpd.config.parameters import (
    Config,
    PeerSpec,
    config_of,
    peer_name,
    peer_spec,
    server_parameters,
)
from webntpd.config.sections import Section
from webntpd.names import DEFAULT_CONFIG
from webntpd.server import ServerParameters


def load(path: Path | None = None) -> Config:
    """Read `path`, or the default file if that exists. Raises ConfigError with every fault."""
    document = _read(path or DEFAULT_CONFIG, must_exist=path is not None)
    if faults := list(_contradictions(document, path or DEFAULT_CONFIG)):
        raise ConfigError(faults)
    return config_of(document)


def load_to_run(path: Path | None = None) -> Config:
    """As load(), and there must be something for a daemon to do."""
    config = load(path)
    file = path or DEFAULT_CONFIG
    if not config.peers and config.server is None:
        raise ConfigError(
            [f'{file}: [[peer]]: there is none: add one, e.g. url = "wss://time.example.org/"']
        )
    if config.peers and not config.refclocks and config.server is None:
        raise ConfigError(
            [f'{file}: [[refclock]]: no consumer would be fed: add one, e.g. type = "shm"']
        )
    return config


def notes(config: Config) -> Iterator[str]:
    """Settings that are allowed, but are probably a mistake."""
    combined = any(refclock.peer is None for refclock in config.refclocks)
    if config.peers and combined and all(each.peer.noselect for each in config.peers):
        yield (
            "[[peer]] noselect: all peers have it, so nothing is published:"
            " remove it from the peers to follow"
        )


def peer_from(keys: Mapping[str, object]) -> PeerSpec:
    """The peer of a command line; a None stands for a key that was not given."""
    return peer_spec(_section("peer", keys))


def server_from(keys: Mapping[str, object]) -> ServerParameters | None:
    """The server of a command line, as peer_from()."""
    return server_parameters(_section("server", keys))


def _section(name: str, keys: Mapping[str, object]) -> Section:
    given = {key: value for key, value in keys.items() if value is not None}
    try:
        return SECTIONS[name].model_validate(given)
    except ValidationError as error:
        raise ConfigError(section_faults(error)) from error


def _read(path: Path, *, must_exist: bool) -> Any:
    class File(Document):  # type: ignore[misc]
        model_config = SettingsConfigDict(toml_file=path)

    faults = list(unknown_variables())
    try:
        if fault := file_fault(path, must_exist=must_exist):
            raise ConfigError([*faults, fault])
        document = File()
    except tomllib.TOMLDecodeError as error:
        faults.append(syntax_fault(path, error))
    except ValidationError as error:
        faults += validation_faults(path, error)
    except UnicodeDecodeError as error:
        faults.append(encoding_fault(path, error))
    except OSError as error:
        faults.append(f"{path}: {error.strerror}")
    except (ValueError, RecursionError) as error:
        # tomllib does not call it a syntax error when a number or a nesting is beyond all bounds.
        faults.append(f"{path}: {error}")
    if faults:
        raise ConfigError(faults)
    return document


def _contradictions(document: Any, path: Path) -> Iterator[str]:
    """What no section can see by itself."""
    names = [peer_name(peer) for peer in document.peer]
    for index in _repeated(names):
        key = Key("peer", index, "name")
        yield line(path, key, f"another peer has the name {names[index]!r}")
    outputs = [
        ("unit", each.unit) if each.type == "shm" else ("path", each.path)
        for each in document.refclock
    ]
    for index in _repeated(outputs):
        yield line(path, Key("refclock", index, outputs[index][0]), "another refclock has the same")
    for index, refclock in enumerate(document.refclock):
        if refclock.peer is not None and refclock.peer not in names:
            key = Key("refclock", index, "peer")
            yield line(path, key, f"no peer has the name {refclock.peer!r}")
    wanted = document.system.minimum_agreeing
    voting = sum(not peer.noselect for peer in document.peer)
    if document.peer and wanted > max(1, voting):
        key = Key("system", None, "minimum_agreeing")
        yield line(path, key, f"asks for {wanted}, but no more than {voting} can agree")


def _repeated(items: Sequence[object]) -> Iterator[int]:
    """The indices of the items that occurred before."""
    return (index for index, item in enumerate(items) if item in items[:index])
