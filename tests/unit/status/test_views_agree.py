"""Whatever view one looks at, a snapshot has the same figures in it."""

import re
from typing import Any

from hypothesis import given
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.status.snapshots import snapshots
from webntpd.ntp.estimates import Frequency
from webntpd.statistics.lines import File, Recorder, parse_peerstats
from webntpd.status.prometheus import rendered
from webntpd.status.snapshot import PPM, Status
from webntpd.status.summary import summary
from webntpd.status.text import oscillator, seconds, signed_seconds
from webntpd.status.views import VIEWS

Json = dict[str, Any]
Labels = dict[str, str]


class Metrics:
    """What a scrape of a snapshot says."""

    def __init__(self, status: Status) -> None:
        body, _ = rendered(status, "")
        self._samples = [
            sample
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        ]

    def all(self, metric: str, **labels: str) -> list[tuple[Labels, float]]:
        """The samples of a metric with these labels, and what other labels they have."""
        return [
            ({name: each.labels[name] for name in each.labels.keys() - labels.keys()}, each.value)
            for each in self._samples
            if each.name == metric and each.labels.items() >= labels.items()
        ]

    def one(self, metric: str, **labels: str) -> float | None:
        """The value of the one sample with exactly these labels, or None."""
        values = [value for others, value in self.all(metric, **labels) if not others]
        assert len(values) <= 1
        return values[0] if values else None

    def chosen(self, metric: str, label: str, **labels: str) -> str:
        """The word for which a metric is 1 that has one value for each."""
        (chosen,) = [others[label] for others, value in self.all(metric, **labels) if value]
        return chosen


def lines_of(status: Status, view: str) -> list[str]:
    lines: list[str] = VIEWS[view](status)["lines"]
    return lines


def blocks_of(status: Status, view: str) -> list[dict[str, str]]:
    """The facts of each paragraph of a view."""
    blocks: list[dict[str, str]] = [{}]
    for line in lines_of(status, view):
        if line:
            name, _, value = line.partition(": ")
            blocks[-1][name.strip()] = value
        else:
            blocks.append({})
    return blocks


def bounded(estimate: Json) -> str:
    return f"{signed_seconds(estimate['offset'])} ± {seconds(estimate['error'])}"


def frequency_of(described: Json) -> str:
    """How the texts show the frequency of the system or of a peer."""
    if described["frequency"] is None:
        return oscillator(None)
    figures = (described[name] * PPM for name in ("frequency", "frequency_error", "wander"))
    return oscillator(Frequency(*figures))


# -- the system --------------------------------------------------------------------------------


@given(snapshots)
def test_all_agree_on_the_system(status: Status) -> None:
    document = VIEWS["json"](status)
    system, metrics = document["system"], Metrics(status)
    tracking = blocks_of(status, "tracking")[0]
    words = summary(status)
    assert lines_of(status, "status")[0] == lines_of(status, "watch")[0] == words
    assert system["summary"] == words

    reachable, sources = system["reachable"], len(document["peers"])
    if not status.serves_only:
        assert tracking["Reachable"] == f"{reachable} of {sources} peers"
        assert words.endswith(f"{reachable} of {sources} peers reachable")
        assert tracking["Frequency"] == frequency_of(system)
    assert metrics.one("webntpd_system_reachable_sources") == reachable
    assert metrics.one("webntpd_system_sources") == sources
    assert metrics.one("webntpd_system_survivors") == len(system["survivors"])

    state = metrics.chosen("webntpd_system_state", "state")
    assert state == (system["why_none"] or "synchronised")
    assert (
        metrics.one("webntpd_leap_list_expiry_timestamp_seconds") == (document["leap_list_expires"])
    )
    assert metrics.all("ntp_uptime_seconds") == [
        ({"version": document["webntpd"]}, document["uptime"])
    ]
    assert metrics.one("webntpd_system_frequency_ppm") == system["frequency"]
    assert metrics.one("webntpd_system_frequency_error_ppm") == system["frequency_error"]
    check_estimate(system["estimate"], metrics, tracking, words)
    if system["estimate"]:
        assert f", {len(system['survivors'])} survivors, " in words
        assert tracking["Survivors"] == ", ".join(system["survivors"])


def check_estimate(
    estimate: Json | None, metrics: Metrics, tracking: dict[str, str], words: str
) -> None:
    assert metrics.one("webntpd_system_offset_seconds") == (estimate and estimate["offset"])
    assert metrics.one("webntpd_system_error_bound_seconds") == (estimate and estimate["error"])
    assert metrics.one("webntpd_system_jitter_seconds") == (estimate and estimate["jitter"])
    leap = estimate["leap"] if estimate else "unknown"
    indicator = ["none", "insert", "delete", "unknown"].index(leap)
    assert metrics.one("ntp_system_leap_indicator") == indicator
    if estimate:
        assert tracking["System peer"] == estimate["system_peer"]
        assert tracking["System offset"].startswith(f"{bounded(estimate)}, ")
        assert tracking["Jitter"] == seconds(estimate["jitter"])
        assert tracking["Leap warning"] == leap
        assert words.startswith(
            f"synchronised to {estimate['system_peer']}, offset {bounded(estimate)}, "
        )


# -- the peers ---------------------------------------------------------------------------------


@given(snapshots)
def test_all_agree_on_the_peers(status: Status) -> None:
    metrics = Metrics(status)
    peers = VIEWS["json"](status)["peers"]
    heading, *rows = lines_of(status, "sources")
    if not status.serves_only:
        assert lines_of(status, "status")[2 : 3 + len(peers)] == [heading, *rows]
    blocks = blocks_of(status, "sources-verbose") if peers else []
    for peer, row, facts in zip(peers, rows, blocks, strict=True):
        check_row(peer, dict(zip(cells(heading), cells(row), strict=True)))
        check_facts(peer, facts)
        check_peer_metrics(peer, metrics)


def cells(row: str) -> list[str]:
    """The columns of a line of the table, without the tally before them."""
    return re.split(r" {2,}", row[1:])


def check_row(peer: Json, row: dict[str, str]) -> None:
    estimate, rejection = peer["estimate"], peer["last_rejection"]
    assert (row["remote"], row["kind"]) == (peer["name"], peer["kind"])
    assert (row["reach"], row["poll"]) == (f"{peer['reach']:o}", str(2 ** peer["poll"]))
    assert row["delay"] == (seconds(estimate["delay"]) if estimate else "-")
    assert row["offset"] == (signed_seconds(estimate["offset"]) if estimate else "-")
    assert row["jitter"] == (seconds(estimate["jitter"]) if estimate else "-")
    assert row["last rejection"] == (rejection["name"] if rejection else "-")
    assert row["stamps"] == (str_of(estimate["stamps"]) if estimate else "-")


def check_facts(peer: Json, facts: dict[str, str]) -> None:
    estimate = peer["estimate"]
    assert facts["Peer"] == f"{peer['name']} ({peer['kind']})"
    assert facts["Reach"].startswith(f"{peer['reach']:o}, ")
    assert facts["Poll"].startswith(f"every {2 ** peer['poll']} s, ")
    assert facts["Samples"].partition(":")[0] == str(peer["samples"])
    assert facts.get("Rejections", "") == ", ".join(
        f"{count} {name}" for name, count in peer["rejections"].items()
    )
    if estimate:
        assert facts["Offset"] == bounded(estimate)
        assert facts["Delay"] == seconds(estimate["delay"])
        assert facts["Dispersion"] == seconds(estimate["dispersion"])
        low, high = signed_seconds(estimate["low"]), signed_seconds(estimate["high"])
        assert facts["Bounds"] == f"{low} to {high}"
        assert facts["Jitter"] == seconds(estimate["jitter"])
        assert facts["Frequency"] == frequency_of(peer)
        assert facts["Stamps"] == str_of(estimate["stamps"])


def check_peer_metrics(peer: Json, metrics: Metrics) -> None:
    name, estimate = peer["name"], peer["estimate"]
    of_estimate = {
        "ntp_source_offset_seconds": "offset",
        "ntp_source_uncertainty_seconds": "error",
        "webntpd_source_low_offset_seconds": "low",
        "webntpd_source_high_offset_seconds": "high",
        "ntp_source_delay_seconds": "delay",
        "ntp_source_root_delay_seconds": "root_delay",
        "ntp_source_root_dispersion_seconds": "root_dispersion",
        "webntpd_source_dispersion_seconds": "dispersion",
        "webntpd_source_jitter_seconds": "jitter",
    }
    for metric, member in of_estimate.items():
        assert metrics.one(metric, name=name) == (estimate and estimate[member]), metric
    for member in ("frequency", "frequency_error"):
        assert metrics.one(f"webntpd_source_{member}_ppm", name=name) == peer[member]
    assert metrics.one("webntpd_source_info", name=name, kind=peer["kind"]) == 1
    assert metrics.chosen("webntpd_source_tally", "tally", name=name) == peer["tally"]
    assert metrics.one("ntp_source_poll_interval_seconds", name=name) == 2 ** peer["poll"]
    answered = f"{peer['reach']:08b}".rfind("1")
    assert metrics.one("ntp_source_unanswered_polls", name=name) == 7 - answered
    samples = [
        ({key: each[key] for key in ("formula", "t1", "t4")}, each["count"])
        for each in peer["samples_by_stamps"]
    ]
    assert metrics.all("webntpd_source_samples_total", name=name) == samples
    assert sum(count for _, count in samples) == peer["samples"]
    rejections = metrics.all("webntpd_source_rejections_total", name=name)
    assert {labels["reason"]: count for labels, count in rejections if count} == {
        reason: count for reason, count in peer["rejections"].items() if count
    }


def str_of(stamps: Json | None) -> str:
    if stamps is None:
        return "-"
    own = stamps["t1"] if stamps["t1"] == stamps["t4"] else f"{stamps['t1']}/{stamps['t4']}"
    return f"{stamps['formula']} {own}"


@given(snapshots)
def test_statistics_have_the_offsets_that_the_others_show(status: Status) -> None:
    peers = VIEWS["json"](status)["peers"]
    wanted = [
        peer["estimate"]
        for peer, shown in zip(peers, status.peers, strict=True)
        if shown.report.fresh and peer["estimate"]
    ]
    records = [each for each in Recorder().new_in(status) if each.file is File.PEERSTATS]
    for record, estimate in zip(records, wanted, strict=True):
        line = parse_peerstats(record.line)
        assert line is not None
        for figure in ("offset", "delay", "dispersion", "jitter"):
            assert abs(getattr(line, figure) - estimate[figure]) <= 0.51e-9


# -- the outputs, and the server ---------------------------------------------------------------


@given(snapshots)
def test_all_agree_on_the_outputs(status: Status) -> None:
    metrics = Metrics(status)
    outputs = VIEWS["json"](status)["refclocks"]
    blocks = blocks_of(status, "tracking")[1 : 1 + len(outputs)]
    lines = lines_of(status, "status")[-len(outputs) :] if outputs else []
    for output, facts, line in zip(outputs, blocks, lines, strict=True):
        check_output(output, facts, line)
        check_output_metrics(output, metrics)


def check_output(output: Json, facts: dict[str, str], line: str) -> None:
    published, lost, failures = (
        output[member] for member in ("published", "not_consumed", "failures")
    )
    assert facts["Refclock"] == output["name"]
    assert facts["Published"] == f"{published} samples, {lost} not consumed"
    assert facts.get("Failures", "0") == str(failures)
    assert line.startswith(f"{output['name']}: {published} samples published")
    assert (f", {lost} not consumed" in line) == bool(lost)
    assert (f", {failures} failures" in line) == bool(failures)
    if last := output["last"]:
        assert facts["Last sample"].startswith(f"{bounded(last)}, ")
        assert f", last {signed_seconds(last['offset'])}" in line


def check_output_metrics(output: Json, metrics: Metrics) -> None:
    name, last = output["name"], output["last"]
    figures = {
        "published_total": output["published"],
        "not_consumed_total": output["not_consumed"],
        "failures_total": output["failures"],
        "consumed": output["consumed"],
        "offset_seconds": last and last["offset"],
        "error_bound_seconds": last and last["error"],
        "last_sample_timestamp_seconds": last and last["at"],
    }
    for figure, value in figures.items():
        assert metrics.one(f"webntpd_refclock_{figure}", refclock=name) == value, figure


@given(snapshots)
def test_all_agree_on_the_server(status: Status) -> None:
    metrics = Metrics(status)
    server = VIEWS["json"](status)["server"]
    figures = {
        "open_connections": "connections",
        "accepted_connections_total": "accepted",
        "requests_total": "requests",
        "messages_total": "messages",
        "refusals_total": "refusals",
    }
    for figure, member in figures.items():
        assert metrics.one(f"webntpd_server_{figure}") == (server and server[member])
    if server:
        facts = blocks_of(status, "tracking")[-1]
        assert facts == {
            "Server": f"{server['connections']} connections open, {server['accepted']} accepted",
            "Answered": f"{server['requests']} requests, {server['messages']} messages,"
            f" {server['refusals']} refused",
        }
