"""What a survey found, for people and for programs."""

import json

from tests.unit.builders import estimate, track
from webntpd.cli.survey import CombinedOffset, Finding, Survey
from webntpd.cli.survey_views import survey_json, survey_lines
from webntpd.config import PeerSpec
from webntpd.exchange.base import ExchangeParameters
from webntpd.names import Kind
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.readings import (
    Failure,
    Formula,
    Leap,
    LeapNotice,
    Provenance,
    Rejection,
    StampSource,
)

SPEC = PeerSpec(ExchangeParameters("ws://a", Kind.WEBSOCKET), PeerParameters("ws://a"))
OTHER = PeerSpec(ExchangeParameters("http://b", Kind.HTTP), PeerParameters("http://b"))
ESTIMATE = estimate(
    delay=0.001,
    jitter=2e-6,
    provenance=Provenance(Formula.TWO_STAMP, StampSource.KERNEL, StampSource.USER),
    leap=LeapNotice(37, 0, 1),
)
GOOD = Finding(SPEC, 8, track(), ESTIMATE, -0.0125, 0.0005)
DEAD = Finding(OTHER, 0, failure=Failure(Rejection.TLS, "expired"))
COMBINED = CombinedOffset(0, -0.01, 0.002, 1e-6, Leap.NONE, ("ws://a", "ws://c"), ("ws://a",))


def test_those_who_answered_stand_in_a_table() -> None:
    assert survey_lines(Survey((GOOD,), None)) == [
        "server      offset      error     delay  jitter  leap  samples  stamps",
        "ws://a  -12.500 ms  ±500.0 µs  1.000 ms  2.0 µs  none        8  two-stamp kernel/user",
    ]


def test_a_failure_is_one_line_with_its_name() -> None:
    assert survey_lines(Survey((DEAD,), None)) == ["http://b: tls: expired"]


def test_several_servers_are_told_together() -> None:
    lines = survey_lines(Survey((GOOD, GOOD, DEAD), COMBINED))
    assert lines[3:] == [
        "http://b: tls: expired",
        "together: offset -10.000 ms ± 2.000 ms, 2 of 2 agree",
    ]


def test_where_none_answers_there_is_no_vote_to_speak_of() -> None:
    assert survey_lines(Survey((DEAD, DEAD), None))[-1] == "none of the servers answered"


def test_that_there_is_no_majority_is_said() -> None:
    lines = survey_lines(Survey((GOOD, GOOD), None))
    assert lines[-1] == "no majority of the 2 servers that answered agrees"


def test_the_json_has_all_of_it_in_seconds() -> None:
    result = survey_json(Survey((GOOD, DEAD), COMBINED))
    assert json.loads(json.dumps(result)) == {
        "version": 1,
        "servers": [
            {
                "url": "ws://a",
                "kind": "websocket",
                "samples": 8,
                "estimate": {
                    "offset": -0.0125,
                    "error": 0.0005,
                    "delay": 0.001,
                    "jitter": 2e-6,
                    "leap": "none",
                    "stamps": {"formula": "two-stamp", "t1": "kernel", "t4": "user"},
                },
                "rejection": None,
            },
            {
                "url": "http://b",
                "kind": "http",
                "samples": 0,
                "estimate": None,
                "rejection": {"name": "tls", "detail": "expired"},
            },
        ],
        "combined": {"offset": -0.01, "error": 0.002, "jitter": 1e-6, "survivors": ["ws://a"]},
    }


def test_what_is_not_known_is_null_in_json() -> None:
    result = survey_json(Survey((Finding(SPEC, 1, track(), estimate()),), None))
    (server,) = result["servers"]
    assert server["estimate"]["leap"] is None
    assert server["estimate"]["stamps"] is None
    assert result["combined"] is None
