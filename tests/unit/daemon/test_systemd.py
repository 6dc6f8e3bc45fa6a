"""What systemd is told, on a real notification socket."""

import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from webntpd.daemon.systemd import Notifier, watchdog_interval

Received = Callable[[], list[str]]


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Received]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(0)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))

        def drain() -> list[str]:
            messages = []
            while True:
                try:
                    messages.append(manager.recv(4096).decode())
                except BlockingIOError:
                    return messages

        yield drain


def test_each_state_has_its_word(received: Received) -> None:
    with closing(Notifier()) as notifier:
        notifier.ready()
        notifier.alive()
        notifier.stopping()
    assert received() == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_a_reload_carries_the_monotonic_time_that_notify_reload_asks_for(
    received: Received,
) -> None:
    with closing(Notifier()) as notifier:
        notifier.reloading()
    (message,) = received()
    lines = message.split("\n")
    assert lines[0] == "RELOADING=1"
    name, value = lines[1].split("=")
    assert name == "MONOTONIC_USEC"
    assert int(value) > 0


def test_the_same_status_is_said_once(received: Received) -> None:
    with closing(Notifier()) as notifier:
        for text in ("a", "a", "5 µs", "a"):
            notifier.status(text)
    assert received() == ["STATUS=a", "STATUS=5 µs", "STATUS=a"]


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with closing(Notifier()) as notifier:
        notifier.ready()


# sdnotify forgets to close a socket that it could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_manager_that_is_gone_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    with closing(Notifier()) as notifier:
        notifier.ready()
    gc.collect()


def test_a_manager_that_does_not_read_holds_nobody_up(received: Received) -> None:
    with closing(Notifier()) as notifier:
        for _ in range(10_000):
            notifier.alive()
    assert 0 < len(received()) < 10_000


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_it_bites(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], interval: float | None
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert watchdog_interval() == interval
