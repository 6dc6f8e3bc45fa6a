"""The snapshot as JSON."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

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
from webntpd.ntp.estimates import NoEstimate, Verdict
from webntpd.ntp.readings import NS_PER_S
from webntpd.status.json import VERSION, document
from webntpd.status.snapshot import Status

AGING = (GROWTH + FREQUENCY.wander * 10 / 2) * 10
"""The growth of a bound in the 10 s between the last vote and the snapshot, s."""
PPM_OF_FREQUENCY = {
    "frequency": pytest.approx(12.5),
    "frequency_error": pytest.approx(0.02),
    "wander": pytest.approx(1e-4),
}
PAGE = Path(__file__).parents[3] / "docs" / "status.md"


def test_it_says_what_it_is_and_of_when() -> None:
    made = document(SYNCHRONISED)
    assert made["version"] == VERSION
    assert made["webntpd"] == __version__
    assert made["at"] == WALL_NS / NS_PER_S
    assert made["uptime"] == 7300
    assert made["leap_list_expires"] == WALL_NS / NS_PER_S + 100 * 86_400


def test_the_systems_estimate_is_as_of_the_snapshot() -> None:
    made = document(SYNCHRONISED)["system"]
    assert made["estimate"] == {
        "offset": pytest.approx(-0.000123),
        "error": pytest.approx(0.0065 + AGING),
        "jitter": 4.5e-6,
        "age": 12,
        "system_peer": GOOD.name,
        "leap": "insert",
    }
    assert made["why_none"] is None
    assert made["survivors"] == [GOOD.name]
    assert made["reachable"] == 1
    assert {name: made[name] for name in PPM_OF_FREQUENCY} == PPM_OF_FREQUENCY


def test_the_reason_for_no_estimate_has_a_name() -> None:
    made = document(replace(SYNCHRONISED, verdict=Verdict(NoEstimate.NO_MAJORITY, {})))["system"]
    assert made["estimate"] is None
    assert made["why_none"] == "no_majority"


def test_a_peer_is_shown_with_its_estimate() -> None:
    made = document(SYNCHRONISED)["peers"][0]
    assert made == {
        "name": GOOD.name,
        "kind": "websocket",
        "tally": "system_peer",
        "reach": 255,
        "poll": 4,
        "since_reply": 12,
        "next_poll_in": 4,
        "estimate": {
            "offset": pytest.approx(-0.000123),
            "error": pytest.approx(0.0062 + AGING),
            "low": pytest.approx(-0.006123 - AGING),
            "high": pytest.approx(0.006077 + AGING),
            "delay": 0.012,
            "dispersion": pytest.approx(1e-4),
            "jitter": 4.5e-6,
            "root_delay": 0.0,
            "root_dispersion": 0.0,
            "age": 12,
            "stamps": {"formula": "interleaved", "t1": "kernel", "t4": "kernel"},
        },
        **PPM_OF_FREQUENCY,
        "offsets": [-0.0001, -0.000123],
        "samples": 99,
        "samples_by_stamps": [
            {"formula": "four-stamp", "t1": "kernel", "t4": "user", "count": 9},
            {"formula": "interleaved", "t1": "kernel", "t4": "kernel", "count": 90},
        ],
        "rejections": {"contradiction": 1, "timeout": 3},
        "last_rejection": None,
        "prefer": True,
        "noselect": False,
    }


def test_a_peer_that_never_answered_has_nulls() -> None:
    made = document(SYNCHRONISED)["peers"][1]
    assert made["name"] == DEAD.name
    assert made["since_reply"] is None
    assert made["estimate"] is None
    assert {made[name] for name in PPM_OF_FREQUENCY} == {None}
    assert made["next_poll_in"] == -0.5  # it is under way
    assert made["last_rejection"] == {"name": "connect", "detail": "refused\x1b[2J"}


def test_an_output_is_shown_with_its_last_sample() -> None:
    first, second = document(SYNCHRONISED)["refclocks"]
    assert first == {
        "name": "SHM(2)",
        "published": 7,
        "consumed": True,
        "not_consumed": 3,
        "failures": 0,
        "problem": None,
        "last": {
            "at": WALL_NS / NS_PER_S - 10,
            "offset": -0.000123,
            "error": 0.0065,
            "leap": "insert",
        },
    }
    assert second["last"] is None
    assert second["problem"] == "nobody is there"


def test_the_server_is_null_unless_there_is_one() -> None:
    assert document(SYNCHRONISED)["server"] == {
        "connections": 1,
        "accepted": 2,
        "requests": 3,
        "messages": 4,
        "refusals": 5,
    }
    assert document(replace(SYNCHRONISED, server=None))["server"] is None


@given(snapshots)
def test_every_snapshot_is_json_that_any_program_can_read(status: Status) -> None:
    made = document(status)
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def members(made: Any) -> set[str]:
    """The names of all members, at whatever depth, but for those that are data themselves."""
    if isinstance(made, list):
        return {name for each in made for name in members(each)}
    if not isinstance(made, dict):
        return set()
    below = {name for key, each in made.items() if key != "rejections" for name in members(each)}
    return set(made) | below


def test_the_page_describes_every_member_and_no_other() -> None:
    described = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(), re.MULTILINE))
    assert described == members(document(SYNCHRONISED)) | {"name", "detail"}
    assert f"version {VERSION}" in PAGE.read_text()
