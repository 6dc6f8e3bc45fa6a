"""All views are of one snapshot: they never disagree."""

from typing import Any

import pytest
from hypothesis import given

from tests.unit.status.snapshots import SYNCHRONISED, snapshots
from webntpd.ntp.estimates import Tally
from webntpd.status.snapshot import Status
from webntpd.status.text import printable, seconds, signed_seconds
from webntpd.status.views import VIEWS

TEXTS = sorted(set(VIEWS) - {"json"})


@given(snapshots)
def test_the_texts_show_the_figures_of_the_json(status: Status) -> None:
    made = VIEWS["json"](status)
    text = {name: "\n".join(VIEWS[name](status)["lines"]) for name in TEXTS}
    if estimate := made["system"]["estimate"]:
        offset, error = signed_seconds(estimate["offset"]), seconds(estimate["error"])
        for name in ("status", "tracking", "watch"):
            assert f"{offset} ± {error}" in text[name]
            assert estimate["system_peer"] in text[name]
    for peer in made["peers"]:
        assert all(peer["name"] in text[name] for name in TEXTS if name != "tracking")
        assert f": {peer['reach']:o}, last reply" in text["sources-verbose"]
        if measured := peer["estimate"]:
            shown = signed_seconds(measured["offset"]), seconds(measured["delay"])
            for name in ("status", "sources", "sources-verbose", "watch"):
                assert all(figure in text[name] for figure in shown)
        if rejection := peer["last_rejection"]:
            assert rejection["name"] in text["status"]
            assert printable(rejection["detail"]) in text["sources-verbose"]
    for refclock in made["refclocks"]:
        assert f"{refclock['published']} samples" in text["status"]
        assert f"{refclock['published']} samples" in text["tracking"]


@given(snapshots)
def test_a_line_of_a_text_is_one_line_and_harmless(status: Status) -> None:
    for name in TEXTS:
        assert all(line.isprintable() for line in VIEWS[name](status)["lines"])


def lines(name: str) -> Any:
    return VIEWS[name](SYNCHRONISED)["lines"]


def test_the_sources_are_the_peers_of_the_status() -> None:
    assert lines("sources") == lines("status")[2 : 3 + len(SYNCHRONISED.peers)]


@pytest.mark.parametrize("name", ["status", "sources", "watch"])
def test_the_tally_is_the_first_character(name: str) -> None:
    assert any(line.startswith(Tally.SYSTEM_PEER) for line in lines(name))
