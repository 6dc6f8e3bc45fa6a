"""The document: the sections of the configuration, as the file and the environment give them.

pydantic-settings reads it from the TOML file, and from the environment, which goes before the
file. Unknown keys are refused.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from webntpd.config.forms import KINDS
from webntpd.config.sections import Section, section
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.leaplist import LeapSource
from webntpd.keys import Form, Help
from webntpd.names import DEFAULT_CONTROL, DEFAULT_STATE
from webntpd.ntp.parameters import PeerParameters, SystemParameters
from webntpd.refclock.base import ShmParameters, SockParameters
from webntpd.server import Limits, ServerParameters
from webntpd.statistics.files import StatisticsParameters

ENV_PREFIX = "WEBNTPD_"
ENV_DELIMITER = "__"
DEFAULT_LEAP_FILE = Path("/usr/share/zoneinfo/leap-seconds.list")


@dataclass(frozen=True, slots=True)
class Follow:
    """The key of a refclock that does not depend on its type."""

    peer: Annotated[
        str | None,
        Help(
            "Only the time of this one peer, by its name, so that the consumer can vote itself."
            " Without this key: the combined offset of all peers that agree.",
            example="wss://time.example.org/",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class LeapFile:
    file: Annotated[
        Path,
        Form.FILE,
        Help("The list of leap seconds. It is no fault if the default file is missing."),
    ] = DEFAULT_LEAP_FILE


@dataclass(frozen=True, slots=True)
class StateFile:
    file: Annotated[
        str,
        Form.PATH_OR_NONE,
        Help(
            "The file that keeps the frequency of this machine's oscillator, so that the next start"
            ' begins with it. The service may write to the default file. "" means no file.'
        ),
    ] = str(DEFAULT_STATE)


@dataclass(frozen=True, slots=True)
class Metrics:
    listen: Annotated[
        Annotated[str, Form.ADDRESS] | None,
        Help(
            "The ADDRESS:PORT at which Prometheus may scrape /metrics. Every client that can"
            " connect can read them. Without this key: nowhere.",
            example="127.0.0.1:9976",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class Control:
    socket: Annotated[
        str,
        Form.SOCKET_OR_NONE,
        Help(
            "The socket at which `webntpd status` and the like ask the daemon. Root and the group"
            ' of the socket may. "" means none.'
        ),
    ] = str(DEFAULT_CONTROL)


@dataclass(frozen=True, slots=True)
class Log:
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Help('"debug", "info", "warning" or "error".')
    ] = "info"


def _check_peer(peer: Any) -> None:
    allowed = KINDS[urlsplit(peer.url).scheme]
    if peer.kind is not None and peer.kind not in allowed:
        names = " or ".join(f'"{kind}"' for kind in allowed)
        raise ValueError(f'kind must be {names} for {peer.url}, not "{peer.kind}"')
    if peer.minpoll is not None and peer.maxpoll is not None and peer.minpoll > peer.maxpoll:
        raise ValueError(f"maxpoll {peer.maxpoll} is less than minpoll {peer.minpoll}")


def _check_server(server: Any) -> None:
    if server.listen_tls and server.certificate is None:
        raise ValueError("listen_tls needs a certificate")


PARAMETERS: Mapping[str, tuple[type, ...]] = {
    "peer": (ExchangeParameters, PeerParameters),
    "shm": (ShmParameters, Follow),
    "sock": (SockParameters, Follow),
    "system": (SystemParameters,),
    "server": (ServerParameters, Limits),
    "leap": (LeapFile, LeapSource),
    "state": (StateFile,),
    "statistics": (StatisticsParameters,),
    "metrics": (Metrics,),
    "control": (Control,),
    "log": (Log,),
}
"""The dataclasses that have the keys of each section, and of each type of refclock."""
OUTPUTS = ("shm", "sock")
"""The types of a refclock."""
_DEPENDENT = {
    "peer": {"kind", "name", "minpoll", "maxpoll"},
    "statistics": {"directory"},
}
"""The keys without a default of their own; parameters.py has the defaults."""
_CHECKS = {"peer": _check_peer, "server": _check_server}

SECTIONS: Mapping[str, type[Section]] = {
    name: section(
        name.capitalize(),
        *parameters,
        dependent=_DEPENDENT.get(name, ()),
        kind=name if name in OUTPUTS else None,
        check=_CHECKS.get(name),
    )
    for name, parameters in PARAMETERS.items()
}
"""The model of each section, and of each type of refclock."""
ARRAYS = ("peer", "refclock")
"""The sections that may be given several times, as `[[peer]]`."""


class Environment(EnvSettingsSource):
    """WEBNTPD_SECTION__KEY. A value is JSON where it can be, else the text itself."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """As the base class, but a value that is no JSON is left for the validation to refuse."""
        del field_name, field
        return _decoded(value)

    def explode_env_vars(
        self, field_name: str, field: FieldInfo, env_vars: Mapping[str, str | None]
    ) -> dict[str, Any]:
        """The keys of a section that have variables of their own, each decoded once.

        The base class would decode the values of some types of key a second time.
        """
        del field
        prefix = f"{ENV_PREFIX}{field_name}{ENV_DELIMITER}".lower()
        return {
            name.removeprefix(prefix): _decoded(value)
            for name, value in env_vars.items()
            if name.startswith(prefix)
        }


def _decoded(value: Any) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


class _Sources(BaseSettings):
    """Reads the environment and a TOML file."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER, extra="forbid", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file; there is no other source."""
        del init_settings, env_settings, dotenv_settings, file_secret_settings
        return Environment(settings_cls), TomlConfigSettingsSource(settings_cls)


def _fields() -> dict[str, Any]:
    """The fields of the document: lists of peers and of refclocks, and one table of each other."""
    outputs: Any = reduce(or_, (SECTIONS[each] for each in OUTPUTS))
    refclock: Any = Annotated[outputs, Field(discriminator="type")]
    tables = {name: model for name, model in SECTIONS.items() if name not in {"peer", *OUTPUTS}}
    return {
        "peer": (GenericAlias(list, (SECTIONS["peer"],)), []),
        "refclock": (GenericAlias(list, (refclock,)), []),
        **{name: (model, model()) for name, model in tables.items()},
    }


Document: Any = create_model("Document", __base__=_Sources, **_fields())
"""The whole configuration as written. A subclass names the file in `toml_file`."""


class _WithoutNull(GenerateJsonSchema):
    """TOML has no null: a key without a value is left out."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        default = made.get("default")
        if isinstance(default, dict):  # a section
            made["default"] = {key: value for key, value in default.items() if value is not None}
        elif default is None:
            made.pop("default", None)
        return made


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the file, for editors (draft 2020-12)."""
    schema: dict[str, Any] = Document.model_json_schema(schema_generator=_WithoutNull)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "The configuration of webntpd",
    }
