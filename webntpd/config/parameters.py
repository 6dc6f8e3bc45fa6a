"""What the daemon is told: the document's sections made into the parameters of each part."""

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from webntpd.config.document import (
    DEFAULT_LEAP_CACHE,
    DEFAULT_LEAP_FILE,
    DEFAULT_MAXPOLL,
    DEFAULT_MINPOLL,
    KINDS,
    Document,
    PeerSection,
    ServerSection,
    ShmSection,
    SockSection,
    StatisticsSection,
    user_number,
)
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.leaplist import LeapSource
from webntpd.ntp.parameters import PeerParameters, SystemParameters
from webntpd.refclock.base import RefclockParameters, ShmParameters, SockParameters
from webntpd.server import Limits, ServerParameters
from webntpd.statistics.files import StatisticsParameters


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
    """Everything that the daemon is told. `metrics` is the address to be scraped at.

    `control` is the path of the control socket, `state` that of the state file; None is none.
    """

    peers: tuple[PeerSpec, ...] = ()
    refclocks: tuple[RefclockSpec, ...] = ()
    system: SystemParameters = field(default_factory=SystemParameters)
    server: ServerParameters | None = None
    leap_file: Path = DEFAULT_LEAP_FILE
    leap_source: LeapSource = field(default=LeapSource("", DEFAULT_LEAP_CACHE))
    control: Path | None = None
    state: Path | None = None
    statistics: StatisticsParameters | None = None
    metrics: str | None = None
    log_level: str = "info"


def config_of(document: Document) -> Config:
    return Config(
        peers=tuple(peer_spec(peer) for peer in document.peer),
        refclocks=tuple(
            RefclockSpec(refclock_parameters(each), each.peer) for each in document.refclock
        ),
        system=SystemParameters(minimum_agreeing=document.system.minimum_agreeing),
        server=server_parameters(document.server),
        leap_file=document.leap.file,
        leap_source=LeapSource(document.leap.url, document.leap.cache),
        statistics=statistics_parameters(document.statistics),
        metrics=document.metrics.listen,
        state=Path(document.state.file) if document.state.file else None,
        control=Path(document.control.socket) if document.control.socket else None,
        log_level=document.log.level,
    )


def peer_name(peer: PeerSection) -> str:
    return peer.url if peer.name is None else peer.name


def peer_spec(peer: PeerSection) -> PeerSpec:
    kind = peer.kind or KINDS[urlsplit(peer.url).scheme][0]
    minpoll, maxpoll = _poll_range(peer, DEFAULT_MINPOLL[kind])
    return PeerSpec(
        exchange=ExchangeParameters(
            url=peer.url,
            kind=kind,
            timeout=peer.timeout,
            proxy=peer.proxy,
            ca_file=peer.ca_file,
            accept_date=peer.accept_date,
            allow_unsynchronised=peer.allow_unsynchronised,
            interleaved=peer.interleaved,
            kernel_timestamps=peer.kernel_timestamps,
        ),
        peer=PeerParameters(
            name=peer_name(peer),
            minpoll=minpoll,
            maxpoll=maxpoll,
            burst=peer.burst,
            iburst=peer.iburst,
            burst_interval=peer.burst_interval,
            prefer=peer.prefer,
            noselect=peer.noselect,
            root_delay=peer.root_delay,
            root_dispersion=peer.root_dispersion,
            smear=peer.smear,
        ),
    )


def _poll_range(peer: PeerSection, default_minpoll: int) -> tuple[int, int]:
    """What is given stands; a default gives way to it."""
    maxpoll = max(DEFAULT_MAXPOLL, peer.minpoll or 0) if peer.maxpoll is None else peer.maxpoll
    minpoll = min(default_minpoll, maxpoll) if peer.minpoll is None else peer.minpoll
    return minpoll, maxpoll


def refclock_parameters(section: ShmSection | SockSection) -> RefclockParameters:
    if isinstance(section, ShmSection):
        return ShmParameters(section.unit, frozenset(map(user_number, section.owners)))
    return SockParameters(section.path)


def server_parameters(section: ServerSection) -> ServerParameters | None:
    if not section.listen and not section.listen_tls:
        return None
    origins = section.allow_cross_origin
    return ServerParameters(
        listen=tuple(section.listen),
        allow_cross_origin=tuple(origins) if isinstance(origins, list) else origins,
        local=section.local,
        max_error=section.max_error,
        listen_tls=tuple(section.listen_tls),
        certificate=section.certificate,
        key=section.key,
        require_sync=section.require_sync,
        kernel_timestamps=section.kernel_timestamps,
        trusted_proxies=tuple(section.trusted_proxies),
        workers=section.workers,
        limits=Limits(**section.model_dump(include=set(Limits.__dataclass_fields__))),
    )


def statistics_parameters(section: StatisticsSection) -> StatisticsParameters | None:
    if section.directory is None:
        return None
    return StatisticsParameters(section.directory, section.days)
