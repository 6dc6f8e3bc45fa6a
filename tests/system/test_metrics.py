"""Real Prometheus and its promtool, against scrapes of the real daemon."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.daemons import Peer, SockConsumer, run, serve, shm
from tests.system.harness import PATIENCE, ROOT, Sandbox, eventually, require
from tests.unit.leap.test_list import PUBLISHED

pytestmark = pytest.mark.system

CONTRIB = ROOT / "contrib"
ALERTS = CONTRIB / "prometheus/alerts.yml"
DASHBOARD = CONTRIB / "grafana/webntpd.json"
ADDRESS = "127.0.0.1:9976"
PROMETHEUS = "127.0.0.1:9090"
NAME = re.compile(r"\b(?:ntp|webntpd|process)_[a-z_]+\b")
"""What in an expression is a metric's name."""
SLOW = {"webntpd_system_frequency_ppm", "webntpd_source_frequency_ppm"}
"""Known only after minutes; test_views_metrics has them."""


@pytest.fixture
def daemon(sandbox: Sandbox) -> None:
    """A daemon that has everything that there are metrics of."""
    leap_list = sandbox.path / "leap-seconds.list"
    leap_list.write_bytes(PUBLISHED)
    peers = [
        Peer("one", "websocket", serve(sandbox, 8001, 0.25)),
        Peer("two", "http", serve(sandbox, 8002, 0.25)),
        Peer("dead", "http", "127.0.0.1:8003"),
    ]
    sections = (
        f'[metrics]\nlisten = "{ADDRESS}"',
        f'[leap]\nfile = "{leap_list}"\nurl = ""',
        '[server]\nlisten = ["127.0.0.1:8004"]\nworkers = 2',
    )
    run(sandbox, peers, shm(2), SockConsumer(sandbox).refclock, *sections)


def scrape(sandbox: Sandbox) -> str:
    return sandbox.run(require("curl"), "--silent", "--fail", f"http://{ADDRESS}/metrics")


def names_in(scraped: str) -> set[str]:
    return {
        sample.name
        for family in text_string_to_metric_families(scraped)
        for sample in family.samples
    }


def promtool(*arguments: str | Path, given: str = "") -> str:
    """What promtool says; it must be content."""
    done = subprocess.run(
        [require("promtool"), *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def dashboard_expressions() -> Iterator[str]:
    """What the panels ask for, as Grafana would fill it in."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield (
                target["expr"]
                .replace("$__rate_interval", "1m")
                .replace("$job", "webntpd")
                .replace("$instance", ADDRESS)
            )


def alert_expressions() -> list[str]:
    """The expressions of alerts.yml, one of them over several lines."""
    return re.findall(r"expr: ((?:.|\n)*?)\n        for:", ALERTS.read_text())


# -- the files ---------------------------------------------------------------------------------


def test_the_alerts_are_rules_that_do_what_they_should() -> None:
    promtool("check", "rules", ALERTS)
    promtool("test", "rules", ALERTS.with_name("alerts.test.yml"))


def test_the_page_describes_every_alert_and_the_tests_try_each() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    page = (ROOT / "docs/metrics.md").read_text()
    assert re.findall(r"^\| `(Webntpd\w+)` \|", page, re.MULTILINE) == alerts
    tests = ALERTS.with_name("alerts.test.yml").read_text()
    assert set(alerts) == set(re.findall(r"\bWebntpd\w+", tests))


def test_what_the_dashboard_asks_for_can_be_asked(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, expression in enumerate(dashboard_expressions())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", path)


# -- the daemon --------------------------------------------------------------------------------


def test_all_that_dashboard_and_alerts_ask_for_is_there_and_promtool_finds_no_fault(
    sandbox: Sandbox, daemon: None
) -> None:
    expressions = [*dashboard_expressions(), *alert_expressions()]
    asked = {name for expression in expressions for name in NAME.findall(expression)} - SLOW
    assert len(asked) > 20
    scraped = eventually(
        lambda: scrape(sandbox), f"all of {asked}", lambda scraped: asked <= names_in(scraped)
    )
    assert promtool("check", "metrics", given=scraped) == ""


def test_prometheus_scrapes_it_and_the_figures_arrive(sandbox: Sandbox, daemon: None) -> None:
    prometheus = Prometheus(sandbox)
    assert prometheus.eventually('up{job="webntpd"} == 1') == {"": 1}
    offsets = prometheus.eventually("ntp_source_offset_seconds", lambda found: len(found) == 2)
    assert offsets == pytest.approx({"one": 0.25, "two": 0.25}, abs=1e-3)
    refused = prometheus.eventually('webntpd_source_rejections_total{reason="connect"} > 0')
    assert refused.keys() == {"dead"}
    intervals = prometheus.ask("ntp_source_poll_interval_seconds")
    assert intervals == {"one": 1, "two": 1, "dead": 1}
    pending = prometheus.eventually('ALERTS{alertname="WebntpdSourceUnreachable"}')
    assert "dead" in pending


class Prometheus:
    """A running Prometheus that scrapes the daemon each second, and has the alerts loaded."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        job = {"job_name": "webntpd", "static_configs": [{"targets": [ADDRESS]}]}
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(ALERTS)],
            "scrape_configs": [job],
        }
        path = sandbox.path / "prometheus.yml"
        path.write_text(json.dumps(configuration))  # which is YAML, too
        sandbox.start(
            require("prometheus"),
            f"--config.file={path}",
            f"--storage.tsdb.path={sandbox.path / 'tsdb'}",
            f"--web.listen-address={PROMETHEUS}",
        )

    def ask(self, query: str) -> dict[str, float]:
        """The values of an instant query by the sources' names; nothing until it answers."""
        reply = self._sandbox.run(
            require("curl"),
            "--silent",
            "--get",
            "--data-urlencode",
            f"query={query}",
            f"http://{PROMETHEUS}/api/v1/query",
        )
        found: Any = json.loads(reply)["data"]["result"] if reply.startswith("{") else []
        return {each["metric"].get("name", ""): float(each["value"][1]) for each in found}

    def eventually(
        self, query: str, until: Callable[[dict[str, float]], object] = bool
    ) -> dict[str, float]:
        return eventually(lambda: self.ask(query), query, until)
