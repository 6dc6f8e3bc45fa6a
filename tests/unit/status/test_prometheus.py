"""The snapshot as Prometheus metrics."""

import re
from collections.abc import Callable, Container, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from prometheus_client import Metric
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.status.snapshots import (
    DEAD,
    FREQUENCY,
    GOOD,
    GROWTH,
    SYNCHRONISED,
    WALL_NS,
    snapshots,
)
from webntpd import __version__
from webntpd.daemon.processmetrics import Process
from webntpd.names import Kind
from webntpd.ntp.estimates import NoEstimate, Tally, Verdict
from webntpd.ntp.readings import NS_PER_S, Formula, Leap, Rejection, StampSource
from webntpd.status.prometheus import Snapshot, rendered, unanswered
from webntpd.status.snapshot import Status

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
"""The Accept header of Prometheus 2.42."""

AGING = (GROWTH + FREQUENCY.wander * 10 / 2) * 10
"""The growth of a bound in the 10 s between the last vote and the snapshot, s."""

Values = dict[tuple[str, ...], float]


def values(status: Status, name: str) -> Values:
    """The samples of one metric, by the values of their labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in Snapshot(status).collect()
        for sample in family.samples
        if sample.name == name
    }


def test_the_daemon_says_how_long_it_has_been_running_and_what_it_is() -> None:
    assert values(SYNCHRONISED, "ntp_uptime_seconds") == {(__version__,): 7300}


@pytest.mark.parametrize(
    ("estimate", "state"),
    [
        (SYNCHRONISED.verdict.estimate, "synchronised"),
        (NoEstimate.NO_MAJORITY, "no_majority"),
        (NoEstimate.NO_PEER, "no_peer"),
    ],
)
def test_the_system_is_in_one_state(estimate: NoEstimate, state: str) -> None:
    shown = values(replace(SYNCHRONISED, verdict=Verdict(estimate, {})), "webntpd_system_state")
    assert len(shown) == len(NoEstimate) + 1
    assert [name for name, value in shown.items() if value] == [(state,)]


def test_the_leap_indicator_is_unknown_without_an_estimate() -> None:
    assert values(SYNCHRONISED, "ntp_system_leap_indicator") == {(): Leap.INSERT}
    silent = replace(SYNCHRONISED, verdict=Verdict(NoEstimate.NO_PEER, {}))
    assert values(silent, "ntp_system_leap_indicator") == {(): 3}
    assert values(silent, "webntpd_system_offset_seconds") == {}


def test_the_systems_estimate_is_as_of_the_snapshot() -> None:
    assert values(SYNCHRONISED, "webntpd_system_offset_seconds") == {(): pytest.approx(-0.000123)}
    assert values(SYNCHRONISED, "webntpd_system_error_bound_seconds") == {
        (): pytest.approx(0.0065 + AGING)
    }
    assert values(SYNCHRONISED, "webntpd_system_jitter_seconds") == {(): 4.5e-6}
    assert values(SYNCHRONISED, "webntpd_system_sources") == {(): 2}
    assert values(SYNCHRONISED, "webntpd_system_reachable_sources") == {(): 1}
    assert values(SYNCHRONISED, "webntpd_system_survivors") == {(): 1}


def test_the_oscillators_frequency_is_told_once_it_is_known() -> None:
    known = replace(SYNCHRONISED, verdict=Verdict(NoEstimate.NO_MAJORITY, {}, frequency=FREQUENCY))
    for status in (SYNCHRONISED, known):
        assert values(status, "webntpd_system_frequency_ppm") == {(): pytest.approx(12.5)}
        assert values(status, "webntpd_system_frequency_error_ppm") == {(): pytest.approx(0.02)}
    unknown = replace(SYNCHRONISED, verdict=Verdict(NoEstimate.NO_MAJORITY, {}))
    assert values(unknown, "webntpd_system_frequency_ppm") == {}


def test_the_leap_lists_end_is_told_if_there_is_a_list() -> None:
    name = "webntpd_leap_list_expiry_timestamp_seconds"
    assert values(SYNCHRONISED, name) == {(): WALL_NS / NS_PER_S + 100 * 86_400}
    assert values(replace(SYNCHRONISED, leap_expires_ns=None), name) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ntp_source_offset_seconds", -0.000123),
        ("ntp_source_uncertainty_seconds", 0.0062 + AGING),
        ("webntpd_source_low_offset_seconds", -0.006123 - AGING),
        ("webntpd_source_high_offset_seconds", 0.006077 + AGING),
        ("ntp_source_delay_seconds", 0.012),
        ("ntp_source_root_delay_seconds", 0),
        ("ntp_source_root_dispersion_seconds", 0),
        ("webntpd_source_dispersion_seconds", 1e-4),
        ("webntpd_source_jitter_seconds", 4.5e-6),
        ("webntpd_source_frequency_ppm", 12.5),
        ("webntpd_source_frequency_error_ppm", 0.02),
    ],
)
def test_what_was_measured_is_told_of_sources_that_were(name: str, value: float) -> None:
    assert values(SYNCHRONISED, name) == {(GOOD.name,): pytest.approx(value)}


def test_of_every_source_it_is_told_how_it_fares() -> None:
    both = (GOOD.name,), (DEAD.name,)
    assert values(SYNCHRONISED, "ntp_source_poll_interval_seconds") == dict(
        zip(both, (16, 64), strict=True)
    )
    assert values(SYNCHRONISED, "ntp_source_unanswered_polls") == dict(
        zip(both, (0, 8), strict=True)
    )
    assert values(SYNCHRONISED, "webntpd_source_info") == {
        (GOOD.name, "websocket"): 1,
        (DEAD.name, "http"): 1,
    }
    fates = values(SYNCHRONISED, "webntpd_source_tally")
    assert [labels for labels, value in fates.items() if value] == [
        (GOOD.name, "system_peer"),
        (DEAD.name, "unfit"),
    ]


@pytest.mark.parametrize(
    ("reach", "polls"), [(0, 8), (0b1, 0), (0b10, 1), (0b1010_0000, 5), (0b1000_0000, 7), (255, 0)]
)
def test_the_reach_register_tells_how_many_polls_were_unanswered(reach: int, polls: int) -> None:
    assert unanswered(reach) == polls


def test_samples_are_told_by_what_they_were_made_of() -> None:
    assert values(SYNCHRONISED, "webntpd_source_samples_total") == {
        (GOOD.name, "four-stamp", "kernel", "user"): 9,
        (GOOD.name, "interleaved", "kernel", "kernel"): 90,
    }


def test_every_reason_to_reject_is_told_even_if_it_never_occurred() -> None:
    shown = values(SYNCHRONISED, "webntpd_source_rejections_total")
    assert len(shown) == 2 * len(Rejection)
    assert {labels: count for labels, count in shown.items() if count} == {
        (GOOD.name, "contradiction"): 1,
        (GOOD.name, "timeout"): 3,
    }


def test_outputs_are_told_with_what_became_of_their_samples() -> None:
    shm, sock = (each.name for each in SYNCHRONISED.refclocks)
    assert values(SYNCHRONISED, "webntpd_refclock_published_total") == {(shm,): 7, (sock,): 0}
    assert values(SYNCHRONISED, "webntpd_refclock_not_consumed_total") == {(shm,): 3, (sock,): 0}
    assert values(SYNCHRONISED, "webntpd_refclock_failures_total") == {(shm,): 0, (sock,): 2}
    assert values(SYNCHRONISED, "webntpd_refclock_consumed") == {(shm,): 1}
    assert values(SYNCHRONISED, "webntpd_refclock_offset_seconds") == {(shm,): -0.000123}
    assert values(SYNCHRONISED, "webntpd_refclock_error_bound_seconds") == {(shm,): 0.0065}
    assert values(SYNCHRONISED, "webntpd_refclock_last_sample_timestamp_seconds") == {
        (shm,): WALL_NS / NS_PER_S - 10
    }


def test_the_server_is_told_of_if_there_is_one() -> None:
    assert values(SYNCHRONISED, "ntp_server_received_packets_total") == {(): 7}
    assert values(SYNCHRONISED, "webntpd_server_open_connections") == {(): 1}
    assert values(SYNCHRONISED, "webntpd_server_accepted_connections_total") == {(): 2}
    assert values(SYNCHRONISED, "webntpd_server_requests_total") == {(): 3}
    assert values(SYNCHRONISED, "webntpd_server_messages_total") == {(): 4}
    assert values(SYNCHRONISED, "webntpd_server_refusals_total") == {(): 5}
    without = Snapshot(replace(SYNCHRONISED, server=None)).collect()
    assert not [family.name for family in without if "server" in family.name]


def test_a_daemon_with_nothing_to_do_has_metrics_all_the_same() -> None:
    bare = Status(SYNCHRONISED.at_ns, (), Verdict(NoEstimate.NO_PEER, {}))
    assert {family.name for family in Snapshot(bare).collect()} == {
        "ntp_uptime_seconds",
        "ntp_system_leap_indicator",
        "webntpd_system_state",
        "webntpd_system_sources",
        "webntpd_system_reachable_sources",
        "webntpd_system_survivors",
    }


# -- what is sent ------------------------------------------------------------------------------

Parser = Callable[[str], Iterable[Metric]]


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8", text_string_to_metric_families),
        ("text/plain", "text/plain; version=0.0.4; charset=utf-8", text_string_to_metric_families),
        (
            PROMETHEUS,
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            openmetrics.text_string_to_metric_families,
        ),
    ],
)
def test_the_client_gets_the_format_that_it_takes(
    accept: str, content_type: str, parse: Parser
) -> None:
    body, told = rendered(SYNCHRONISED, accept)
    assert told == content_type
    names = {family.name for family in Snapshot(SYNCHRONISED).collect()}
    assert {family.name for family in parse(body.decode())} == names


def test_what_others_collect_is_added() -> None:
    body, _ = rendered(SYNCHRONISED, "", Process())
    assert b"\nprocess_resident_memory_bytes " in body


def series(families: Iterable[Metric]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("", text_string_to_metric_families),
        (PROMETHEUS, openmetrics.text_string_to_metric_families),
    ],
)
@given(status=snapshots)
def test_every_snapshot_can_be_read_back(status: Status, accept: str, parse: Parser) -> None:
    body, _ = rendered(status, accept)
    assert series(parse(body.decode())) == series(Snapshot(status).collect())


@given(snapshots)
def test_labels_hold_names_of_the_configuration_and_words_of_enumerations(status: Status) -> None:
    allowed: dict[str, Container[str]] = {
        "version": {__version__},
        "name": {peer.report.name for peer in status.peers},
        "refclock": {each.name for each in status.refclocks},
        "kind": set(Kind),
        "state": {"synchronised"} | {each.name.lower() for each in NoEstimate},
        "tally": {each.name.lower() for each in Tally},
        "reason": set(Rejection),
        "formula": set(Formula),
        "t1": set(StampSource),
        "t4": set(StampSource),
    }
    for family in Snapshot(status).collect():
        for sample in family.samples:
            assert all(value in allowed[label] for label, value in sample.labels.items())


# -- the page ----------------------------------------------------------------------------------

ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \| [^|]+ \|$", re.MULTILINE)


def shown(family: Metric) -> tuple[str, str, str, str]:
    """A metric as a row of the page has it: name, type, unit, labels."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    unit = next((each for each in ("seconds", "bytes", "ppm") if each in name.split("_")), "")
    labels = ", ".join(f"`{label}`" for label in next(iter(family.samples)).labels)
    return (name, family.type, unit, labels)


def test_the_page_describes_every_metric_and_no_other() -> None:
    families = [*Snapshot(SYNCHRONISED).collect(), *Process().collect()]
    assert sorted(ROW.findall(PAGE.read_text())) == sorted(map(shown, families))


def test_the_page_names_every_word_that_a_label_may_be() -> None:
    words = {
        word
        for family in Snapshot(SYNCHRONISED).collect()
        for sample in family.samples
        for label, word in sample.labels.items()
        if label in {"state", "tally"}
    }
    assert words <= set(re.findall(r"`(\w+)`", PAGE.read_text()))
