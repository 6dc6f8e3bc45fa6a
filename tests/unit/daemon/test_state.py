"""The state file: its content, its aging, and the fate of a bad file."""

import json
import logging
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webntpd.daemon.state import (
    MAX_SIZE,
    RESTART_UNCERTAINTY,
    State,
    StateError,
    frequency_from,
    load_state,
    parse_state,
    save_state,
    state_bytes,
)
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Frequency
from webntpd.ntp.line import MAX_WANDER
from webntpd.ntp.readings import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
KNOWN_NS = 1_700_000_000 * NS_PER_S
STATE = State(Frequency(-12.5e-6, 2e-8, 1e-10), KNOWN_NS)

states = st.builds(
    State,
    st.builds(Frequency, st.floats(-1e-3, 1e-3), st.floats(0, 1e-3), st.floats(0, MAX_WANDER)),
    st.integers(0, 2**63 - 1),
)


def content(**changes: Any) -> bytes:
    """A good file's content with some members, or those of its frequency, changed."""
    good: dict[str, Any] = json.loads(state_bytes(STATE))
    for name, value in changes.items():
        if name in good["frequency"]:
            good["frequency"][name] = value
        else:
            good[name] = value
    return json.dumps(good).encode()


@given(states)
def test_a_written_state_is_read_again(state: State) -> None:
    assert parse_state(state_bytes(state)) == state


def test_a_saved_state_is_loaded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state"
    save_state(path, State(Frequency(0.0, 1e-6, 0.0), 0))
    save_state(path, STATE)
    assert load_state(path) == STATE
    assert list(tmp_path.iterdir()) == [path]
    assert not caplog.records


def test_no_file_is_no_state_and_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_state(tmp_path / "state") is None
    assert not caplog.records


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 200,
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * MAX_SIZE,
        b"1" * MAX_SIZE,
        content() + b" " * MAX_SIZE,
        content(version=2),
        content(version="1"),
        content(version=None),
        content(frequency=None),
        content(frequency=[0, 0, 0]),
        content(value=float("nan")),
        content(value=float("inf")),
        content(value=1001e-6),
        content(value=-1001e-6),
        content(value="0"),
        content(value=None),
        content(value=True),
        content(value=10**400),
        content(uncertainty=-1e-9),
        content(uncertainty=float("nan")),
        content(uncertainty=1.0),
        content(wander=-1e-12),
        content(wander=1e-3),
        content(known_ns=-1),
        content(known_ns=1.5),
        content(known_ns=2**63),
        content(known_ns=True),
        content(known_ns=None),
    ],
)
def test_a_bad_file_is_no_state_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    path = tmp_path / "state"
    path.write_bytes(data)
    assert load_state(path) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(f"state file {path} is not used")
    assert len(record.getMessage()) < 500


def test_a_file_that_cannot_be_read_is_no_state_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert load_state(tmp_path) is None
    (record,) = caplog.records
    assert "Is a directory" in record.getMessage()


def test_no_beginning_of_a_file_is_taken_for_the_whole() -> None:
    whole = state_bytes(STATE).rstrip()
    for end in range(len(whole)):
        with pytest.raises(StateError):
            parse_state(whole[:end])
    with pytest.raises(StateError):
        parse_state(whole + whole)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_a_state_or_a_state_error(data: bytes) -> None:
    try:
        assert abs(parse_state(data).frequency.value) <= 1e-3
    except StateError:
        return


@given(st.integers(0, 300), st.integers(0, 255))
def test_a_damaged_byte_gives_a_state_in_range_or_a_state_error(at: int, byte: int) -> None:
    data = bytearray(state_bytes(STATE))
    data[at % len(data)] = byte
    try:
        frequency = parse_state(bytes(data)).frequency
    except StateError:
        return
    assert abs(frequency.value) <= 1e-3
    assert 0 <= frequency.uncertainty <= 1e-3


def test_a_state_that_cannot_be_saved_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state"
    save_state(path, STATE)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        save_state(path, State(Frequency(0.0, 1e-6, 0.0), 0))
    assert load_state(path) == STATE
    assert list(tmp_path.iterdir()) == [path]


def test_a_directory_that_does_not_exist_is_an_error_of_saving(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_state(tmp_path / "none" / "state", STATE)


@pytest.mark.parametrize(
    ("days", "uncertainty"),
    [
        (0, math.hypot(2e-8, RESTART_UNCERTAINTY)),
        (30, math.hypot(2e-8, RESTART_UNCERTAINTY) + 1e-6),
        (300, math.hypot(2e-8, RESTART_UNCERTAINTY) + 10e-6),
        (30 * 1000, UNKNOWN_FREQUENCY.uncertainty),
    ],
)
def test_the_frequency_becomes_less_certain_with_age(days: int, uncertainty: float) -> None:
    frequency = frequency_from(STATE, KNOWN_NS + days * DAY_NS)
    assert frequency.uncertainty == pytest.approx(uncertainty)
    assert (frequency.value, frequency.wander) == (-12.5e-6, 1e-10)


def test_a_clock_that_is_behind_the_file_says_nothing_of_its_age() -> None:
    year = frequency_from(STATE, KNOWN_NS + 365 * DAY_NS)
    assert frequency_from(STATE, KNOWN_NS - 1) == year
    assert frequency_from(STATE, 0) == year


@given(states, st.integers(0, 2**63 - 1))
def test_a_start_is_never_more_certain_than_the_file(state: State, now_ns: int) -> None:
    uncertainty = frequency_from(state, now_ns).uncertainty
    assert (
        min(state.frequency.uncertainty, UNKNOWN_FREQUENCY.uncertainty)
        <= uncertainty
        <= UNKNOWN_FREQUENCY.uncertainty
    )
