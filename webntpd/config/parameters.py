"""The configuration of the daemon: the parameters of each part, made of the document's sections."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from webntpd.config.document import DEFAULT_LEAP_FILE
from webntpd.config.forms import KINDS
from webntpd.config.sections import parameters_from
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.leaplist import LeapSource
from webntpd.names import Kind
from webntpd.ntp.parameters import PeerParameters, SystemParameters
from webntpd.refclock.base import RefclockParameters, ShmParameters, SockParameters
from webntpd.server import Limits, ServerParameters
from webntpd.statistics.files import StatisticsParameters

DEFAULT_MINPOLL = {Kind.HTTP: 6, Kind.WEBSOCKET: 4, Kind.TIME_HEADER: 6}
"""log2 s. A message on an open WebSocket costs a server less than a request."""
DEFAULT_MAXPOLL = 6
"""log2 s. Consumers are configured with no less, so that none of them starves."""
REFCLOCKS: Mapping[str, type[RefclockParameters]] = {"shm": ShmParameters, "sock": SockParameters}


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """A peer: how to reach it, and how to poll it."""

    exchange: ExchangeParameters
    peer: PeerParameters

    @property
    def name(self) -> str:
        return self.peer.name


@dataclass(frozen=True, slots=True)
class RefclockSpec:
    """An output, which gets the combined estimate, or that of the one peer named `peer`."""

    parameters: RefclockParameters
    peer: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration. `metrics` is the address for Prometheus.

    `control` is the path of the control socket, `state` that of the state file; None is none.
    """

    peers: tuple[PeerSpec, ...] = ()
    refclocks: tuple[RefclockSpec, ...] = ()
    system: SystemParameters = field(default_factory=SystemParameters)
    server: ServerParameters | None = None
    leap_file: Path = DEFAULT_LEAP_FILE
    leap_source: LeapSource = field(default=LeapSource(""))
    control: Path | None = None
    state: Path | None = None
    statistics: StatisticsParameters | None = None
    metrics: str | None = None
    log_level: str = "info"


def config_of(document: Any) -> Config:
    """The configuration of the daemon from a whole document."""
    return Config(
        peers=tuple(map(peer_spec, document.peer)),
        refclocks=tuple(
            RefclockSpec(parameters_from(each, REFCLOCKS[each.type]), each.peer)
            for each in document.refclock
        ),
        system=parameters_from(document.system, SystemParameters),
        server=server_parameters(document.server),
        leap_file=document.leap.file,
        leap_source=parameters_from(document.leap, LeapSource),
        statistics=None
        if document.statistics.directory is None
        else parameters_from(document.statistics, StatisticsParameters),
        metrics=document.metrics.listen,
        state=Path(document.state.file) if document.state.file else None,
        control=Path(document.control.socket) if document.control.socket else None,
        log_level=document.log.level,
    )


def peer_name(peer: Any) -> str:
    name: str = peer.url if peer.name is None else peer.name
    return name


def peer_spec(peer: Any) -> PeerSpec:
    kind = peer.kind or KINDS[urlsplit(peer.url).scheme][0]
    minpoll, maxpoll = _poll_range(peer.minpoll, peer.maxpoll, DEFAULT_MINPOLL[kind])
    return PeerSpec(
        parameters_from(peer, ExchangeParameters, kind=kind),
        parameters_from(
            peer, PeerParameters, name=peer_name(peer), minpoll=minpoll, maxpoll=maxpoll
        ),
    )


def _poll_range(minpoll: int | None, maxpoll: int | None, default_minpoll: int) -> tuple[int, int]:
    """A key that is given stands, and a default gives way to it."""
    if maxpoll is None:
        maxpoll = max(DEFAULT_MAXPOLL, minpoll or 0)
    return (min(default_minpoll, maxpoll) if minpoll is None else minpoll), maxpoll


def server_parameters(server: Any) -> ServerParameters | None:
    """The server, None without an address."""
    if not server.listen and not server.listen_tls:
        return None
    return parameters_from(server, ServerParameters, limits=parameters_from(server, Limits))
