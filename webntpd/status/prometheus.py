"""A snapshot as Prometheus metrics. docs/metrics.md says what each of them means.

A metric has the name that ntpd-rs's exporter uses where it means the same; what is ours alone
begins with `webntpd_`. Labels hold names from the configuration and words from enumerations,
nothing that a remote sends, so that nobody can make the series grow.

prometheus_client costs memory and time, so a daemon without [metrics] does not import this module.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from webntpd import __version__
from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import Estimate, Frequency, NoEstimate, PeerEstimate, Tally
from webntpd.ntp.readings import NS_PER_S, Rejection
from webntpd.status.snapshot import PPM, RefclockStatus, ServerStatus, Status

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text"

SYNCHRONISED = "synchronised"
LEAP_UNKNOWN = 3
"""The leap indicator of a clock that is not synchronised (RFC 5905 §7.3)."""
REACH_BITS = 8
UNITS = ("seconds", "bytes", "ppm")

Samples = Iterable[tuple[Sequence[str], float]]
"""The values of a metric's labels, and its value."""


def rendered(status: Status, accept: str, *others: Collector) -> tuple[bytes, str]:
    """The reply to a scrape whose Accept header is `accept`, and its Content-Type.

    What `others` collect is added to it.
    """
    registry = CollectorRegistry()
    for collector in (Snapshot(status), *others):
        registry.register(collector)
    if OPENMETRICS in accept:
        return openmetrics.generate_latest(registry), openmetrics.CONTENT_TYPE_LATEST
    return exposition.generate_latest(registry), TEXT


class Snapshot(Collector):
    """Collects from one snapshot only, so that all values of a scrape belong together."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """All metrics that the snapshot has values for."""
        status = self._status
        uptime = (status.at_ns - status.started_ns) / NS_PER_S
        running = [((__version__,), uptime)]
        yield gauge("ntp_uptime_seconds", "Time since the daemon started.", running, "version")
        yield from _system(status)
        if status.peers:
            yield from _sources(status)
        if status.refclocks:
            yield from _refclocks(status.refclocks)
        if status.server:
            yield from _server(status.server)


def gauge(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    """A metric that may go up and down; its unit is in its name."""
    unit = next((each for each in UNITS if name.endswith(f"_{each}")), "")
    return _filled(GaugeMetricFamily(name, text, labels=labels, unit=unit), samples)


def counter(name: str, text: str, samples: Samples, *labels: str) -> Metric:
    """A metric that only grows."""
    return _filled(CounterMetricFamily(name, text, labels=labels), samples)


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, samples: Samples
) -> GaugeMetricFamily | CounterMetricFamily:
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _one(value: float) -> Samples:
    return [((), value)]


# -- the system --------------------------------------------------------------------------------


def _system(status: Status) -> Iterator[Metric]:
    estimate = status.verdict.estimate
    state = estimate.name.lower() if isinstance(estimate, NoEstimate) else SYNCHRONISED
    states = [SYNCHRONISED, *(reason.name.lower() for reason in NoEstimate)]
    yield gauge(
        "webntpd_system_state",
        "1 for the state that the system is in, 0 for the others.",
        [((each,), each == state) for each in states],
        "state",
    )
    yield gauge(
        "ntp_system_leap_indicator",
        "Warning of a leap second at the end of this day: 0 none, 1 insert, 2 delete, 3 unknown.",
        _one(estimate.leap if isinstance(estimate, Estimate) else LEAP_UNKNOWN),
    )
    yield gauge("webntpd_system_sources", "Sources that have been polled.", _one(len(status.peers)))
    yield gauge(
        "webntpd_system_reachable_sources",
        "Sources that have answered within their last eight polls.",
        _one(status.reachable),
    )
    yield gauge(
        "webntpd_system_survivors",
        "Sources that the offset was combined from.",
        _one(len(status.verdict.speakers)),
    )
    if isinstance(estimate, Estimate):
        yield from _system_estimate(estimate, status)
    if frequency := status.verdict.frequency:
        yield from _frequencies("webntpd_system", [((), frequency)])
    if status.leap_expires_ns is not None:
        yield gauge(
            "webntpd_leap_list_expiry_timestamp_seconds",
            "Unix time at which the list of leap seconds expires.",
            _one(status.leap_expires_ns / NS_PER_S),
        )


def _system_estimate(estimate: Estimate, status: Status) -> Iterator[Metric]:
    yield gauge(
        "webntpd_system_offset_seconds",
        "True time less this machine's clock, combined from the survivors.",
        _one(status.offset(estimate)),
    )
    yield gauge(
        "webntpd_system_error_bound_seconds",
        "Bound of the offset's error.",
        _one(status.error_bound(estimate)),
    )
    yield gauge("webntpd_system_jitter_seconds", "Spread of the offset.", _one(estimate.jitter))


def _frequencies(
    prefix: str, known: Sequence[tuple[Sequence[str], Frequency]], *labels: str
) -> Iterator[Metric]:
    """The local oscillator's frequency as the system or each source sees it."""
    yield gauge(
        f"{prefix}_frequency_ppm",
        "Rate at which true time gains on the local oscillator: positive if that is slow.",
        [(values, frequency.value / PPM) for values, frequency in known],
        *labels,
    )
    yield gauge(
        f"{prefix}_frequency_error_ppm",
        "Uncertainty of that frequency: three times it bounds the error.",
        [(values, frequency.uncertainty / PPM) for values, frequency in known],
        *labels,
    )


# -- the sources -------------------------------------------------------------------------------

_OfReport = tuple[str, str, Callable[[PeerReport], float]]
_OfEstimate = tuple[str, str, Callable[[PeerEstimate, Status], float]]

_OF_REPORT: tuple[_OfReport, ...] = (
    (
        "ntp_source_poll_interval_seconds",
        "Time between polls of the source.",
        lambda report: 2**report.poll,
    ),
    (
        "ntp_source_unanswered_polls",
        "Polls since the last one that was answered, at most eight.",
        lambda report: unanswered(report.reach),
    ),
)
_OF_ESTIMATE: tuple[_OfEstimate, ...] = (
    (
        "ntp_source_offset_seconds",
        "True time according to the source less this machine's clock.",
        lambda estimate, status: status.offset(estimate),
    ),
    (
        "ntp_source_uncertainty_seconds",
        "Bound of the offset's error.",
        lambda estimate, status: status.error_bound(estimate),
    ),
    (
        "webntpd_source_low_offset_seconds",
        "Least offset that the source's answers allow.",
        lambda estimate, status: status.bounds(estimate)[0],
    ),
    (
        "webntpd_source_high_offset_seconds",
        "Greatest offset that the source's answers allow.",
        lambda estimate, status: status.bounds(estimate)[1],
    ),
    (
        "ntp_source_delay_seconds",
        "Least round trip to the source, less the server's own time.",
        lambda estimate, _: estimate.delay,
    ),
    (
        "ntp_source_root_delay_seconds",
        "Round trip between the source and true time, as far as it is known.",
        lambda estimate, _: estimate.root_delay,
    ),
    (
        "ntp_source_root_dispersion_seconds",
        "Error of the source's own clock, as far as it is known.",
        lambda estimate, _: estimate.root_error,
    ),
    (
        "webntpd_source_dispersion_seconds",
        "Half of the distance between the bounds, less half of the delay.",
        lambda estimate, _: estimate.dispersion,
    ),
    (
        "webntpd_source_jitter_seconds",
        "Spread of the source's measurements around its line.",
        lambda estimate, _: estimate.jitter,
    ),
)


def unanswered(reach: int) -> int:
    """The number of polls since the last answer that the reach register knows of."""
    return REACH_BITS if not reach else (reach & -reach).bit_length() - 1


def _sources(status: Status) -> Iterator[Metric]:
    peers = status.peers
    reports = [peer.report for peer in peers]
    yield gauge(
        "webntpd_source_info",
        "Always 1: the source and how it is asked.",
        [((peer.report.name, str(peer.kind)), 1) for peer in peers],
        "name",
        "kind",
    )
    yield gauge(
        "webntpd_source_tally",
        "1 for the fate of the source in the last vote, 0 for the others.",
        [
            ((peer.report.name, each.name.lower()), each is peer.tally)
            for peer in peers
            for each in Tally
        ],
        "name",
        "tally",
    )
    for name, text, of_report in _OF_REPORT:
        yield gauge(name, text, [((each.name,), of_report(each)) for each in reports], "name")
    estimates = [(each.report.name, each.estimate) for each in peers if each.estimate]
    for name, text, of_estimate in _OF_ESTIMATE:
        values = [((source,), of_estimate(estimate, status)) for source, estimate in estimates]
        yield gauge(name, text, values, "name")
    known = [((each.report.name,), each.frequency) for each in peers if each.frequency]
    yield from _frequencies("webntpd_source", known, "name")
    yield from _source_counters(reports)


def _source_counters(reports: Sequence[PeerReport]) -> Iterator[Metric]:
    yield counter(
        "webntpd_source_samples_total",
        "Good samples, by what they were made of.",
        [
            ((each.name, stamps.formula, stamps.t1, stamps.t4), count)
            for each in reports
            for stamps, count in each.stamps.items()
        ],
        "name",
        "formula",
        "t1",
        "t4",
    )
    yield counter(
        "webntpd_source_rejections_total",
        "Exchanges that gave no sample, by the reason.",
        [
            ((each.name, reason), each.rejections.get(reason, 0))
            for each in reports
            for reason in Rejection
        ],
        "name",
        "reason",
    )


# -- the outputs, and the server ---------------------------------------------------------------


def _refclocks(refclocks: Sequence[RefclockStatus]) -> Iterator[Metric]:
    yield counter(
        "webntpd_refclock_published_total",
        "Samples handed out.",
        [((each.name,), each.published) for each in refclocks],
        "refclock",
    )
    yield counter(
        "webntpd_refclock_not_consumed_total",
        "Samples that the consumer had not taken when the next one came.",
        [((each.name,), each.not_consumed) for each in refclocks],
        "refclock",
    )
    yield counter(
        "webntpd_refclock_failures_total",
        "Samples that could not be handed out.",
        [((each.name,), each.failures) for each in refclocks],
        "refclock",
    )
    yield gauge(
        "webntpd_refclock_consumed",
        "1 if the consumer took the sample before the last, 0 if it did not.",
        [((each.name,), each.consumed) for each in refclocks if each.consumed is not None],
        "refclock",
    )
    last = [(each.name, each.last) for each in refclocks if each.last]
    yield gauge(
        "webntpd_refclock_offset_seconds",
        "Offset of the last sample.",
        [((name,), sample.offset) for name, sample in last],
        "refclock",
    )
    yield gauge(
        "webntpd_refclock_error_bound_seconds",
        "Bound of that offset's error.",
        [((name,), sample.error) for name, sample in last],
        "refclock",
    )
    yield gauge(
        "webntpd_refclock_last_sample_timestamp_seconds",
        "Unix time of the last sample.",
        [((name,), sample.receive_ns / NS_PER_S) for name, sample in last],
        "refclock",
    )


def _server(server: ServerStatus) -> Iterator[Metric]:
    yield counter(
        "ntp_server_received_packets_total",
        "HTTP requests and WebSocket messages together.",
        _one(server.requests + server.messages),
    )
    yield gauge("webntpd_server_open_connections", "Connections.", _one(server.connections))
    yield counter(
        "webntpd_server_accepted_connections_total",
        "Connections that were accepted.",
        _one(server.accepted),
    )
    yield counter("webntpd_server_requests_total", "HTTP requests.", _one(server.requests))
    yield counter("webntpd_server_messages_total", "WebSocket messages.", _one(server.messages))
    yield counter(
        "webntpd_server_refusals_total",
        "Connections, requests and messages that were turned away.",
        _one(server.refusals),
    )
