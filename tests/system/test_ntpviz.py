"""NTPsec's ntpviz reads and draws the statistics files that we write."""

import csv
import random
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.system.consumers import NTPSEC, ntpsec_environment
from tests.system.harness import PATIENCE, require, unavailable
from tests.unit.status.snapshots import GOOD, MEASURED, SYNCHRONISED
from webntpd.ntp.estimates import Tally
from webntpd.ntp.readings import NS_PER_S
from webntpd.statistics.files import DayFiles, StatisticsParameters
from webntpd.statistics.lines import Recorder
from webntpd.status.snapshot import PeerStatus, Status

PEERS = {
    "wss://time.example.org/": "WEB(wss:time.example.org)",
    "its neighbour's clock": "WEB(its-neighbour-s-clock)",
}
POLLS = 200
POLL = 64  # s
PNG = b"\x89PNG"
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}


def snapshots(now_ns: int) -> list[Status]:
    """The last hours, in which every poll has brought an estimate of each peer."""
    chance = random.Random(1)
    made = []
    for poll in range(POLLS):
        wall_ns = now_ns - (POLLS - poll) * POLL * NS_PER_S
        peers = []
        for name in PEERS:
            mid_ns = round(chance.gauss(0.001, 0.0001) * NS_PER_S)
            estimate = replace(
                MEASURED,
                at_ns=wall_ns,
                mid_ns=mid_ns,
                low_ns=mid_ns - 10**7,
                high_ns=mid_ns + 10**7,
                delay=chance.uniform(0.01, 0.02),
                jitter=chance.uniform(1e-5, 1e-4),
            )
            report = replace(GOOD, name=name, at_ns=wall_ns)
            peers.append(PeerStatus(report, "websocket", Tally.SURVIVOR, estimate))
        # RAW and the wall clock are alike, so that X is the offset.
        made.append(replace(SYNCHRONISED, at_ns=wall_ns, wall_ns=wall_ns, peers=tuple(peers)))
    return made


@pytest.mark.system
def test_ntpviz_draws_every_peer_and_reads_our_figures(tmp_path: Path) -> None:
    require("gnuplot")
    ntpviz = NTPSEC / "usr/bin/ntpviz"
    if not ntpviz.exists():
        unavailable("NTPsec", "tests/system/fetch-ntpsec")
    statistics, pictures = tmp_path / "statistics", tmp_path / "pictures"
    statistics.mkdir()
    files, recorder = DayFiles(StatisticsParameters(statistics)), Recorder()
    hours = snapshots(time.time_ns())
    for status in hours:
        files.write(recorder.new_in(status))
    drawn = subprocess.run(
        ["/usr/bin/python3", ntpviz, "-d", statistics, "-o", pictures],
        check=False,  # it misses loopstats, which only a loop can write, and says so
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=ntpsec_environment(),
    )

    named = {f"peer-{each}-{peer.replace(':', '-')}"
             for each in ("offset", "jitter") for peer in PEERS.values()}  # fmt: skip
    for name in {"peer-offsets", "peer-jitters"} | named:
        picture = pictures / f"{name}.png"
        assert picture.exists(), drawn.stderr
        assert picture.read_bytes().startswith(PNG), drawn.stderr

    with (pictures / "summary.csv").open(encoding="utf-8") as file:
        summary = {row["Name"]: row for row in csv.DictReader(file)}
    for index, peer in enumerate(PEERS.values()):
        row = summary[f"Server Offset {peer}"]
        unit = UNITS[row["Units"]]
        estimates = [status.peers[index].estimate for status in hours]
        offsets = [each.mid_ns / NS_PER_S for each in estimates if each]
        assert float(row["Min"]) * unit == pytest.approx(min(offsets), rel=1e-3)
        assert float(row["Max"]) * unit == pytest.approx(max(offsets), rel=1e-3)
        assert float(row["Mean"]) * unit == pytest.approx(sum(offsets) / POLLS, rel=1e-3)
