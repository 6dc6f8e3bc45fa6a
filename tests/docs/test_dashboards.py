"""The dashboard and the alerts ask for metrics that exist."""

import re
from pathlib import Path

import pytest

from tests.unit.status.snapshots import SYNCHRONISED
from webntpd.daemon.processmetrics import Process
from webntpd.status.prometheus import Snapshot

CONTRIB = Path(__file__).parents[2] / "contrib"


@pytest.mark.parametrize("path", ["grafana/webntpd.json", "prometheus/alerts.yml"])
def test_what_dashboard_and_alerts_ask_for_is_there(path: str) -> None:
    families = [*Snapshot(SYNCHRONISED).collect(), *Process().collect()]
    known = {sample.name for family in families for sample in family.samples}
    text = (CONTRIB / path).read_text()
    asked = set(re.findall(r"\b(?:ntp|webntpd|process)_[a-z_]+", text))
    assert asked
    assert asked <= known
