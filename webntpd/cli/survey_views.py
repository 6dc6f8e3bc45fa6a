"""A survey as a table for people and as JSON for programs.

All times of the JSON are in seconds; a positive offset means that the local clock is behind.
"""

from typing import Any

from webntpd.cli.survey import Finding, Survey
from webntpd.ntp.estimates import PeerEstimate
from webntpd.status.json import stamps
from webntpd.status.text import NOTHING, bounded, seconds, signed_seconds, table

JSON_VERSION = 1
"""Changes when a member of the JSON changes its meaning or goes away, not when one is added."""

COLUMNS = ("server", "offset", "error", "delay", "jitter", "leap", "samples", "stamps")


def survey_lines(result: Survey) -> list[str]:
    """A table of the servers that answered, a line for each failure, and the outcome of a vote."""
    rows = [_row(finding, finding.estimate) for finding in result.findings if finding.estimate]
    lines = table(COLUMNS, rows) if rows else []
    lines += [
        f"{finding.spec.name}: {finding.failure.rejection}: {finding.failure.detail}"
        for finding in result.findings
        if finding.failure
    ]
    if len(result.findings) > 1:
        lines.append(_combined_line(result))
    return lines


def _row(finding: Finding, estimate: PeerEstimate) -> tuple[str, ...]:
    return (
        finding.spec.name,
        signed_seconds(finding.offset),
        f"\N{PLUS-MINUS SIGN}{seconds(finding.error)}",
        seconds(estimate.delay),
        seconds(estimate.jitter),
        finding.leap.name.lower() if estimate.leap else NOTHING,
        str(finding.samples),
        str(estimate.provenance or NOTHING),
    )


def _combined_line(result: Survey) -> str:
    answered = sum(finding.estimate is not None for finding in result.findings)
    if not answered:
        return "none of the servers answered"
    if result.combined is None:
        return f"no majority of the {answered} servers that answered agrees"
    found = bounded(result.combined.offset, result.combined.error)
    return f"together: offset {found}, {len(result.combined.agreeing)} of {answered} agree"


def survey_json(result: Survey) -> dict[str, Any]:
    """The survey as one JSON object; `webntpd query --help` lists its members."""
    combined = result.combined
    return {
        "version": JSON_VERSION,
        "servers": [_finding_json(finding) for finding in result.findings],
        "combined": combined
        and {
            "offset": combined.offset,
            "error": combined.error,
            "jitter": combined.jitter,
            "survivors": list(combined.survivors),
        },
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    estimate, failure = finding.estimate, finding.failure
    return {
        "url": finding.spec.exchange.url,
        "kind": finding.spec.exchange.kind,
        "samples": finding.samples,
        "estimate": estimate and _estimate_json(finding, estimate),
        "rejection": failure and {"name": failure.rejection, "detail": failure.detail},
    }


def _estimate_json(finding: Finding, estimate: PeerEstimate) -> dict[str, Any]:
    return {
        "offset": finding.offset,
        "error": finding.error,
        "delay": estimate.delay,
        "jitter": estimate.jitter,
        "leap": finding.leap.name.lower() if estimate.leap else None,
        "stamps": estimate.provenance and stamps(estimate.provenance),
    }
