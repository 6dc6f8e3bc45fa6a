"""What a survey found, as a table for people and as JSON for programs.

All times of the JSON are in seconds; a positive offset means that the local clock is behind.
"""

from typing import Any

from webntpd.cli.survey import Answer, Survey
from webntpd.ntp.estimates import PeerEstimate
from webntpd.status.json import stamps
from webntpd.status.text import NOTHING, bounded, seconds, signed_seconds, table

JSON_VERSION = 1
"""Changes when a member of the JSON changes its meaning or goes away, not when one is added."""

COLUMNS = ("server", "offset", "error", "delay", "jitter", "leap", "samples", "stamps")


def survey_lines(result: Survey) -> list[str]:
    """A table of those who answered, a line for each failure, and the vote of several servers."""
    rows = [_row(answer, answer.estimate) for answer in result.answers if answer.estimate]
    lines = table(COLUMNS, rows) if rows else []
    lines += [
        f"{answer.spec.name}: {answer.failure.rejection}: {answer.failure.detail}"
        for answer in result.answers
        if answer.failure
    ]
    if len(result.answers) > 1:
        lines.append(_combined_line(result))
    return lines


def _row(answer: Answer, estimate: PeerEstimate) -> tuple[str, ...]:
    return (
        answer.spec.name,
        signed_seconds(answer.offset),
        f"\N{PLUS-MINUS SIGN}{seconds(answer.error)}",
        seconds(estimate.delay),
        seconds(estimate.jitter),
        answer.leap.name.lower() if estimate.leap else NOTHING,
        str(answer.samples),
        str(estimate.provenance or NOTHING),
    )


def _combined_line(result: Survey) -> str:
    answered = sum(answer.estimate is not None for answer in result.answers)
    if not answered:
        return "none of the servers answered"
    if result.combined is None:
        return f"no majority of the {answered} servers that answered agrees"
    found = bounded(result.combined.offset, result.combined.error)
    return f"together: offset {found}, {len(result.combined.agreeing)} of {answered} agree"


def survey_json(result: Survey) -> dict[str, Any]:
    """The same for programs."""
    combined = result.combined
    return {
        "version": JSON_VERSION,
        "servers": [_answer_json(answer) for answer in result.answers],
        "combined": combined
        and {
            "offset": combined.offset,
            "error": combined.error,
            "jitter": combined.jitter,
            "survivors": list(combined.survivors),
        },
    }


def _answer_json(answer: Answer) -> dict[str, Any]:
    estimate, failure = answer.estimate, answer.failure
    return {
        "url": answer.spec.exchange.url,
        "kind": answer.spec.exchange.kind,
        "samples": answer.samples,
        "estimate": estimate and _estimate_json(answer, estimate),
        "rejection": failure and {"name": failure.rejection, "detail": failure.detail},
    }


def _estimate_json(answer: Answer, estimate: PeerEstimate) -> dict[str, Any]:
    return {
        "offset": answer.offset,
        "error": answer.error,
        "delay": estimate.delay,
        "jitter": estimate.jitter,
        "leap": answer.leap.name.lower() if estimate.leap else None,
        "stamps": estimate.provenance and stamps(estimate.provenance),
    }
