"""The grammar of the configuration: which sections and keys there are, and what each may hold.

pydantic-settings reads it from the TOML file, and from the environment, which goes before the
file. Unknown keys are refused, and nothing is converted: `minpoll = "4"` is a fault.
"""

import ipaddress
import json
import pwd
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from webntpd.exchange.tunnel import parse_proxy
from webntpd.names import DEFAULT_CONTROL, DEFAULT_STATE, Kind
from webntpd.ntp.readings import Smear
from webntpd.server import Limits
from webntpd.sockets.listeners import SYSTEMD, UNIX

ENV_PREFIX = "WEBNTPD_"
ENV_DELIMITER = "__"

DEFAULT_LEAP_FILE = Path("/usr/share/zoneinfo/leap-seconds.list")
DEFAULT_SOCK = Path("/run/chrony.webntpd.sock")
"""Not in /run/chrony, which is closed to all users but chrony's own."""
DEFAULT_LEAP_URL = "https://hpiers.obspm.fr/iers/bul/bulc/ntp/leap-seconds.list"
DEFAULT_LEAP_CACHE = Path("/var/lib/webntpd/leap-seconds.list")
LIMITS = Limits()

KINDS: dict[str, tuple[Kind, ...]] = {
    "http": (Kind.HTTP, Kind.TIME_HEADER),
    "https": (Kind.HTTP, Kind.TIME_HEADER),
    "ws": (Kind.WEBSOCKET,),
    "wss": (Kind.WEBSOCKET,),
}
"""What a URL's scheme may mean; the first is what it means when `kind` is not given."""

DEFAULT_MINPOLL = {Kind.HTTP: 6, Kind.WEBSOCKET: 4, Kind.TIME_HEADER: 6}
"""log2 s. A message on an open WebSocket costs a server less than a request."""
DEFAULT_MAXPOLL = 6
"""log2 s: no more than what consumers are configured with, so that none of them starves."""


def checked_url(text: str, schemes: tuple[str, ...]) -> str:
    """`text`, if it is the URL of a server. Raises ValueError with the reason if it is not."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError(f"only printable ASCII without spaces is allowed, not {text!r}")
    authority = text.partition("://")[2].partition("/")[0]
    if authority.count(":") > 1 and not set(authority) & set("[@"):
        raise ValueError(f"an IPv6 address stands in brackets, as in ://[::1]:8080/, not {text!r}")
    try:
        parts = urlsplit(text)
        port = parts.port
        _ = httpx.URL(text).host  # the exchange's own reader of URLs is the stricter one
    except (ValueError, httpx.InvalidURL) as error:
        raise ValueError(f"{error}, in {text!r}") from error
    if parts.scheme not in schemes:
        allowed = ", ".join(f"{scheme}://" for scheme in schemes)
        raise ValueError(f"must begin with one of {allowed}, not {text!r}")
    if not parts.hostname:
        raise ValueError(f"names no host: {text!r}")
    if port == 0:
        raise ValueError(f"no server has port 0: {text!r}")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    return text


def _peer_url(text: str) -> str:
    # The query is where the protocol puts the client's timestamp, so it cannot hold another.
    checked_url(text, tuple(KINDS))
    if "?" in text or "#" in text:
        raise ValueError(f"must not hold a query or a fragment: {text!r}")
    return text


def _proxy_url(text: str) -> str:
    if text:
        parse_proxy(text)
    return text


def _origin(text: str) -> str:
    checked_url(text, ("http", "https"))
    if urlsplit(text)[2:] != ("", "", ""):
        raise ValueError(f"an origin is scheme://host[:port] with nothing behind it, not {text!r}")
    return text


def _listen_address(text: str) -> str:
    if text == SYSTEMD or (text.startswith(UNIX) and text.removeprefix(UNIX).startswith("/")):
        return text
    return _tcp_address(text, "ADDRESS:PORT, unix:/PATH or systemd")


def _tcp_address(text: str, form: str = "ADDRESS:PORT") -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdecimal() or int(port) > 0xFFFF:
        raise ValueError(f"must be {form}, not {text!r}")
    # No address at all means all of them.
    if (":" in host) != (host.startswith("[") and host.endswith("]")):
        meant = f": did you mean '[{host}]:{port}'?" if host.count(":") > 1 else ""
        raise ValueError(f"must be ADDRESS:PORT or [ADDRESS]:PORT for IPv6, not {text!r}{meant}")
    return text


def _leap_url(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise ValueError(f"must be an http(s):// URL, or empty, not {text!r}")
    return text


def _proxy(text: str) -> str:
    if text != "unix":
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError(f'must be an address, a network or "unix", not {text!r}') from None
    return text


def _existing_file(path: Path) -> Path:
    """`path`. Raises ValueError if it is missing, or is a directory.

    A path below a directory that is closed to us passes: config/access.py finds that fault.
    """
    try:
        mode = path.stat().st_mode
    except PermissionError:
        return path
    except (OSError, ValueError) as error:  # ValueError: a null character
        raise ValueError(f"there is no such file: {str(path)!r}") from error
    if stat.S_ISDIR(mode):
        raise ValueError(f"is a directory, and must be a file: {str(path)!r}")
    if not stat.S_ISREG(mode):
        raise ValueError(f"is no regular file: {str(path)!r}")
    return path


def _socket_path(path: Path) -> Path:
    text = str(path)
    # chrony's configuration cannot quote, and sockaddr_un has room for 107 bytes.
    if not path.is_absolute() or not text.isprintable() or " " in text or len(bytes(path)) > 107:
        raise ValueError(f"must be absolute, without spaces, of at most 107 bytes, not {text!r}")
    return path


def user_number(text: str) -> int:
    """The number of the user with that name or number. Raises ValueError."""
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):  # ValueError: a null character
        raise ValueError(f"there is no user {text!r}") from None


def _user(text: str) -> str:
    user_number(text)
    return text


def _absolute(path: Path) -> Path:
    if not path.is_absolute():
        raise ValueError(f"must be absolute, not {str(path)!r}")
    return path


def _state_path(text: str) -> str:
    if text:
        _absolute(Path(text))
    return text


def _control_path(text: str) -> str:
    if text:
        _socket_path(Path(text))
    return text


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(f"must be printable and not empty, not {text!r}")
    return text


PeerUrl = Annotated[str, AfterValidator(_peer_url)]
ProxyUrl = Annotated[str, AfterValidator(_proxy_url)]
CrossOrigin = Annotated[str, AfterValidator(_origin)]
LeapUrl = Annotated[str, AfterValidator(_leap_url)]
Proxy = Annotated[str, AfterValidator(_proxy)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
TcpAddress = Annotated[str, AfterValidator(_tcp_address)]
Name = Annotated[str, AfterValidator(_name)]
# TOML has neither paths nor enumerations: those two are made from text.
FilePath = Annotated[Path, Field(strict=False), AfterValidator(_existing_file)]
SocketPath = Annotated[Path, Field(strict=False), AfterValidator(_socket_path)]
DirectoryPath = Annotated[Path, Field(strict=False), AfterValidator(_absolute)]
ControlPath = Annotated[str, AfterValidator(_control_path)]
StatePath = Annotated[str, AfterValidator(_state_path)]
User = Annotated[str, AfterValidator(_user)]
KindName = Annotated[Kind, Field(strict=False)]
SmearName = Annotated[Smear, Field(strict=False)]

Poll = Annotated[int, Field(ge=0, le=17)]
Count = Annotated[int, Field(ge=1, le=64)]
Positive = Annotated[int, Field(ge=1)]
DAY = 86_400.0
Seconds = Annotated[float, Field(ge=0, le=DAY)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class PeerSection(Section):
    """One `[[peer]]`. What is None here has a default that depends on other keys."""

    url: PeerUrl
    kind: KindName | None = None
    name: Name | None = None
    minpoll: Poll | None = None
    maxpoll: Poll | None = None
    burst: Count = 4
    iburst: Count = 8
    burst_interval: PositiveSeconds = 2.0
    prefer: bool = False
    noselect: bool = False
    root_delay: Seconds = 0.0
    root_dispersion: Seconds = 0.0
    smear: SmearName = Smear.NONE
    timeout: PositiveSeconds = 5.0
    proxy: ProxyUrl | None = None
    ca_file: FilePath | None = None
    accept_date: bool = False
    allow_unsynchronised: bool = False
    interleaved: bool = True
    kernel_timestamps: bool = True

    @model_validator(mode="after")
    def _agree(self) -> "PeerSection":
        allowed = KINDS[urlsplit(self.url).scheme]
        if self.kind is not None and self.kind not in allowed:
            names = " or ".join(f'"{kind}"' for kind in allowed)
            raise ValueError(f'kind must be {names} for {self.url}, not "{self.kind}"')
        if self.minpoll is not None and self.maxpoll is not None and self.minpoll > self.maxpoll:
            raise ValueError(f"maxpoll {self.maxpoll} is less than minpoll {self.minpoll}")
        return self


class ShmSection(Section):
    """`[[refclock]]` of type "shm"."""

    type: Literal["shm"]
    unit: Annotated[int, Field(ge=0, le=255)] = 2
    owners: list[User] = []
    peer: str | None = None


class SockSection(Section):
    """`[[refclock]]` of type "sock"."""

    type: Literal["sock"]
    path: SocketPath = DEFAULT_SOCK
    peer: str | None = None


RefclockSection = Annotated[ShmSection | SockSection, Field(discriminator="type")]


class SystemSection(Section):
    minimum_agreeing: Annotated[int, Field(ge=1)] = 1


class ServerSection(Section):
    listen: list[ListenAddress] = []
    listen_tls: list[ListenAddress] = []
    certificate: FilePath | None = None
    key: FilePath | None = None
    allow_cross_origin: bool | list[CrossOrigin] = False
    local: bool = False
    max_error: PositiveSeconds | None = None
    require_sync: bool = False
    kernel_timestamps: bool = True
    trusted_proxies: list[Proxy] = []
    workers: Annotated[int, Field(ge=0, le=256)] = 0
    connections: Positive = LIMITS.connections
    connections_per_address: Positive = LIMITS.connections_per_address
    requests_per_second: PositiveSeconds = LIMITS.requests_per_second
    request_burst: Positive = LIMITS.request_burst
    exempt_loopback: bool = LIMITS.exempt_loopback
    header_size: Annotated[int, Field(ge=256, le=65536)] = LIMITS.header_size
    request_time: PositiveSeconds = LIMITS.request_time
    idle_time: PositiveSeconds = LIMITS.idle_time

    @model_validator(mode="after")
    def _agree(self) -> "ServerSection":
        if self.listen_tls and self.certificate is None:
            raise ValueError("listen_tls needs a certificate")
        return self


class LeapSection(Section):
    file: FilePath = DEFAULT_LEAP_FILE
    url: LeapUrl = DEFAULT_LEAP_URL
    cache: Annotated[Path, Field(strict=False)] = DEFAULT_LEAP_CACHE


class StateSection(Section):
    file: StatePath = str(DEFAULT_STATE)


class StatisticsSection(Section):
    directory: DirectoryPath | None = None
    days: Annotated[int, Field(ge=1, le=36_500)] = 30


class MetricsSection(Section):
    listen: TcpAddress | None = None


class ControlSection(Section):
    socket: ControlPath = str(DEFAULT_CONTROL)


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Environment(EnvSettingsSource):
    """WEBNTPD_SECTION__KEY. A value is JSON where it can be, else the text itself."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """As the base class, but what is no JSON is left for the validation to refuse."""
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


class Document(BaseSettings):
    """The whole configuration as written. A subclass names the file in `toml_file`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter=ENV_DELIMITER, extra="forbid", frozen=True
    )

    peer: list[PeerSection] = []
    refclock: list[RefclockSection] = []
    system: SystemSection = SystemSection()
    server: ServerSection = ServerSection()
    leap: LeapSection = LeapSection()
    state: StateSection = StateSection()
    statistics: StatisticsSection = StatisticsSection()
    metrics: MetricsSection = MetricsSection()
    control: ControlSection = ControlSection()
    log: LogSection = LogSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment goes before the file; there is nothing else."""
        del init_settings, env_settings, dotenv_settings, file_secret_settings
        return Environment(settings_cls), TomlConfigSettingsSource(settings_cls)
