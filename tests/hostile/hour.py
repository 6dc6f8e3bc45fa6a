"""The hour itself, which runs inside the namespaces."""

import json
import os
import resource
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from tests.hostile import abuse
from tests.hostile.arena import (
    GOOD,
    HTTP,
    HTTPS,
    LIAR_HTTP,
    LIAR_WS,
    METRICS,
    NETWORK_COMMANDS,
    PRIVATE,
    SERVER,
)
from tests.hostile.polite import Polite
from tests.hostile.watch import Watch, cpu_of, kinds_of_lines
from webntpd.cli.controlclient import AskError, NotRunningError, request_view

START = 20.0
"""The daemon may take so long to start, and to stop, s."""
QUIET = 10.0
"""For how long the daemon is watched before the abuse begins and after it ends, s."""
REPORT = 10.0
"""Time between two lines of progress, s."""

LIARS = 4
"""Peers that abuse the daemon, by WebSocket and by HTTP each; only the first of either votes."""

SERVERS = f"""\
[server]
listen = {json.dumps([f"127.0.0.1:{port}" for port in GOOD])}
{PRIVATE}"""

DAEMON = """\
[[refclock]]
type = "shm"
unit = 2
[server]
listen = ["[{server}]:{http}"]
listen_tls = ["[{server}]:{https}"]
certificate = "{directory}/certificate.pem"
local = true
workers = 2
[metrics]
listen = "[{server}]:{metrics}"
[control]
socket = "{directory}/control.sock"
[statistics]
directory = "{directory}/statistics"
[state]
file = "{directory}/state"
[leap]
url = ""
"""

PEER = """\
[[peer]]
name = "{name}"
url = "{url}"
minpoll = 0
maxpoll = 2
burst = 1
burst_interval = 0.1
timeout = 5.0
"""


@dataclass
class Failures:
    """Why the hour is not passed, each reason once."""

    reasons: list[str] = field(default_factory=list)

    def add(self, reason: str) -> None:
        if reason not in self.reasons:
            self.reasons.append(reason)
            print(f"FAILED: {reason}", flush=True)


def peers() -> str:
    """Three servers that are right, two that are wrong, and wrong ones that have no vote."""
    kept = [(f"good-{port}", f"ws://127.0.0.1:{port}/", "") for port in GOOD]
    for number in range(LIARS):
        noselect = "noselect = true\n" if number else ""
        kept.append((f"liar-ws-{number}", f"ws://127.0.0.1:{LIAR_WS}/{number}", noselect))
        kept.append((f"liar-http-{number}", f"http://127.0.0.1:{LIAR_HTTP}/{number}", noselect))
    return "".join(PEER.format(name=name, url=url) + more for name, url, more in kept)


class Programs:
    """The programs of the hour, each with its output in a file of the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (
            (self._directory / f"{name}.out").open("wb") as output,
            (self._directory / f"{name}.err").open("wb") as errors,
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        self._running.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> int | None:
        """End a program politely; None if it had to be killed."""
        process.terminate()
        try:
            return process.wait(START)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return None

    def stop_all(self) -> None:
        for process in reversed(self._running):
            if process.poll() is None:
                process.kill()
                process.wait()


class Hour:
    """One run. Its files are in `directory`, which the caller makes and removes."""

    def __init__(self, directory: Path, minutes: float, only: Sequence[str], share: float) -> None:
        self._directory = directory
        self._seconds = 60 * minutes
        self._kinds = list(only) or list(abuse.BY_NAME)
        self._share = share
        self._programs = Programs(directory)
        self._failures = Failures()
        self._offsets: list[float] = []
        self._unanswered = 0  # questions at the control socket
        self._asked = 0
        self._server: dict[str, int] = {}  # the daemon's own counters

    def run(self) -> dict[str, Any]:
        """Do the run, and return the figures. By then every program has ended."""
        with ended(self._programs):
            prepare_network()
            context = self._write_files()
            self._programs.start(
                "servers", "webntpd", "run", "--config", self._path("servers.toml")
            )
            liar = self._programs.start("liar", "tests.hostile.liar")
            time.sleep(2)
            daemon = self._programs.start(
                "daemon", "webntpd", "run", "--config", self._path("daemon.toml")
            )
            self._wait_for_start(daemon)
            watch, polite = Watch(daemon.pid), Polite(context)
            polite.start()
            began = time.monotonic()
            abusers: dict[str, subprocess.Popen[bytes]] = {}
            cpu = 0.0
            try:
                self._watch(QUIET, daemon, watch, polite, "before")
                cpu = total_cpu(watch)
                began = time.monotonic()
                for kind in self._kinds:
                    abusers[kind] = self._programs.start(
                        f"abuse-{kind}", "tests.hostile.abuse", kind
                    )
                self._watch(self._seconds, daemon, watch, polite, "abuse")
            except KeyboardInterrupt:
                self._failures.add("it was interrupted")
            abused = time.monotonic() - began
            cpu = total_cpu(watch) - cpu
            for process in (*abusers.values(), liar):
                process.kill()
                process.wait()
            with suppress(KeyboardInterrupt):
                self._watch(QUIET, daemon, watch, polite, "after")
            polite.stop()
            self._end(daemon)
            return self._figures(watch, polite, abused, cpu)

    def _path(self, name: str) -> str:
        return str(self._directory / name)

    def _write_files(self) -> ssl.SSLContext:
        """The configurations and the certificate; return a client's context that trusts it."""
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", SERVER)
        certificate.private_key_and_cert_chain_pem.write_to_path(self._path("certificate.pem"))
        (self._directory / "statistics").mkdir()
        (self._directory / "servers.toml").write_text(SERVERS)
        text = DAEMON.format(
            server=SERVER, http=HTTP, https=HTTPS, metrics=METRICS, directory=self._directory
        )
        (self._directory / "daemon.toml").write_text(peers() + text)
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    def _wait_for_start(self, daemon: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START
        while not (self._directory / "control.sock").exists():
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._directory / "daemon.err").read_text()[-2000:])
            time.sleep(0.1)
        time.sleep(1)

    def _watch(
        self,
        seconds: float,
        daemon: subprocess.Popen[bytes],
        watch: Watch,
        polite: Polite,
        phase: str,
    ) -> None:
        """Take a sample each second, and tell of them each REPORT seconds."""
        end = time.monotonic() + seconds
        told = 0.0
        while time.monotonic() < end:
            if daemon.poll() is not None:
                self._failures.add(f"the daemon ended with {daemon.returncode}")
                print((self._directory / "daemon.err").read_text()[-4000:], flush=True)
                return
            watch.look()
            if watch.restarts:
                self._failures.add("a worker ended")
            if time.monotonic() >= told + REPORT:
                told = time.monotonic()
                self._ask()
                print(f"{phase:6} {end - told:6.0f} s left  {progress(watch, polite)}", flush=True)
            time.sleep(1)

    def _ask(self) -> None:
        """Whether the daemon answers at its control socket, and is right within its own bound."""
        self._asked += 1
        try:
            document = request_view(self._directory / "control.sock", "json")
        except (AskError, NotRunningError) as error:
            self._unanswered += 1
            print(f"control socket: {error}", flush=True)
            return
        self._server = document["server"]
        estimate = document["system"]["estimate"]
        if estimate is None:
            return
        self._offsets.append(estimate["offset"])
        # The good servers tell the time of the clock that the daemon reads: the truth is 0.
        if abs(estimate["offset"]) > estimate["error"]:
            self._failures.add(f"offset {estimate['offset']} s beyond {estimate['error']} s")

    def _end(self, daemon: subprocess.Popen[bytes]) -> None:
        if daemon.poll() is None and (status := self._programs.stop(daemon)) != 0:
            self._failures.add(
                "the daemon did not stop" if status is None else f"the daemon stopped with {status}"
            )

    def _figures(self, watch: Watch, polite: Polite, abused: float, cpu: float) -> dict[str, Any]:
        for scheme, record in polite.records.items():
            if record.failed > self._share * record.asked:
                self._failures.add(
                    f"{record.failed} of {record.asked} polite polls over {scheme} failed"
                )
        if not self._offsets:
            self._failures.add("the daemon never had an offset")
        lines = kinds_of_lines(self._directory / "daemon.err")
        return {
            "minutes": round(abused / 60, 2),
            "abuse": {kind: self._rate(f"abuse-{kind}", abused) for kind in self._kinds}
            | {"liar": self._rate("liar", abused)},
            "polite": {scheme: each.figures() for scheme, each in polite.records.items()},
            "processes": watch.figures(),
            "cpu_share": round(cpu / abused, 3) if abused else None,
            "load_average": os.getloadavg(),
            "restarts": watch.restarts,
            "counters": self._server,
            "control": {"asked": self._asked, "unanswered": self._unanswered},
            "offset_s": {
                "answers": len(self._offsets),
                "greatest": max(map(abs, self._offsets), default=None),
            },
            "log": {"lines": sum(lines.values()), "kinds": dict(lines.most_common(30))},
            "failures": self._failures.reasons,
        }

    def _rate(self, name: str, seconds: float) -> dict[str, Any]:
        """The last counts of an abuser, and its acts per second."""
        with (self._directory / f"{name}.out").open() as output:
            *_, last = ["", *(line for line in output if line.endswith("\n"))]
        counts: dict[str, Any] = json.loads(last) if last else {"acts": 0, "refused": {}}
        return counts | {"per_second": round(counts["acts"] / seconds, 1)}


def total_cpu(watch: Watch) -> float:
    total = 0.0
    for pid in watch.usages:
        with suppress(FileNotFoundError, ProcessLookupError):
            total += cpu_of(pid)
    return total


def progress(watch: Watch, polite: Polite) -> str:
    memory = " ".join(
        f"{each.name} {each.rss[-1] / 2**20:.0f} MiB/{each.descriptors[-1]} fds"
        for each in watch.usages.values()
        if each.rss
    )
    answers = " ".join(
        f"{scheme} {len(each.latencies)}+{each.failed}" for scheme, each in polite.records.items()
    )
    return f"{memory}; answers+failures {answers}"


@contextmanager
def ended(programs: Programs) -> Iterator[None]:
    try:
        yield
    finally:
        programs.stop_all()


def prepare_network() -> None:
    for command in NETWORK_COMMANDS:
        subprocess.run(command, check=True)


def table(figures: dict[str, Any]) -> Iterator[str]:
    """The figures for a person."""
    yield f"\n{figures['minutes']} minutes of abuse, on the daemon's {os.cpu_count()} cores"
    yield f"{'abuse':12}{'acts':>10}{'per s':>9}  not let through"
    for kind, each in figures["abuse"].items():
        yield f"{kind:12}{each['acts']:10}{each['per_second']:9}  {each['refused'] or ''}"
    yield f"\n{'polite':12}{'asked':>10}{'answered':>10}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}"
    for scheme, each in figures["polite"].items():
        latencies = "".join(f"{each[k]!s:>9}" for k in ("p50_ms", "p99_ms", "max_ms"))
        counts = f"{each['asked']:10}{each['answered']:10}"
        yield f"{scheme:12}{counts}{latencies}  {each['failures'] or ''}"
    yield f"\n{'process':12}{'RSS MiB first, greatest, last':>32}{'descriptors':>22}"
    for each in figures["processes"]:
        memory, descriptors = each["rss_mib"], each["descriptors"]
        yield (
            f"{each['name']:12}{memory['first']:>12}{memory['greatest']:>10}{memory['last']:>10}"
            f"{descriptors['first']:>10}{descriptors['greatest']:>8}{descriptors['last']:>6}"
        )
    yield f"\ncores used by the daemon: {figures['cpu_share']}; restarts: {figures['restarts']}"
    yield f"load average at the end: {figures['load_average']}"
    yield f"control socket: {figures['control']}; offset: {figures['offset_s']}"
    yield f"the server's counters: {figures['counters']}"
    yield f"{figures['log']['lines']} lines of log:"
    for line, count in figures["log"]["kinds"].items():
        yield f"{count:8}  {line}"
    yield f"\nFAILED: {'; '.join(figures['failures'])}" if figures["failures"] else "\nPASSED"


def inside(
    directory: Path, minutes: float, only: Sequence[str], share: float, target: Path | None
) -> int:
    """Run in the namespaces that __main__ made. Return the exit status."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # The end of standard input says that __main__ has ended or wants us to.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    watcher = os.fork()
    if watcher == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while os.read(0, 1):
            pass
        os.kill(os.getppid(), signal.SIGINT)
        os._exit(0)
    figures = Hour(directory, minutes, only, share).run()
    for line in table(figures):
        print(line, flush=True)
    if target is not None:
        target.write_text(json.dumps(figures, indent=1) + "\n")
    return 1 if figures["failures"] else 0
