"""The helpers of all texts."""

import pytest

from tests.unit.status.snapshots import NOW_NS, SYNCHRONISED, ago
from tests.unit.status.snapshots import ago as before
from webntpd.ntp.estimates import Frequency
from webntpd.ntp.readings import NS_PER_S
from webntpd.status import text


def test_values_stand_below_each_other_and_blocks_apart() -> None:
    assert text.paragraphs([[("a", "1"), ("longer", "2")], [("b", "3")]]) == [
        "a              : 1",
        "longer         : 2",
        "",
        "b              : 3",
    ]


@pytest.mark.parametrize(
    ("frequency", "shown"),
    [
        (Frequency(12.3456e-6, 0.02e-6, 0.0), "12.346 ppm slow, uncertain by 0.020 ppm"),
        (Frequency(-0.5e-6, 1.5e-6, 0.0), "0.500 ppm fast, uncertain by 1.500 ppm"),
        (None, "not known yet"),
    ],
)
def test_an_oscillator_is_slow_where_true_time_gains_on_it(
    frequency: Frequency | None, shown: str
) -> None:
    assert text.oscillator(frequency) == shown


def test_what_never_was_was_never() -> None:
    assert text.ago(None, SYNCHRONISED) == "never"
    assert text.ago(before(3), SYNCHRONISED) == "3 s ago"


def test_a_time_has_its_unit() -> None:
    assert text.lasting(ago(299), SYNCHRONISED) == "299 s"
    assert text.lasting(ago(300), SYNCHRONISED) == "5m"


def test_what_is_past_is_no_longer_ahead() -> None:
    assert text.ahead(NOW_NS + NS_PER_S, NOW_NS) == 1
    assert text.ahead(NOW_NS - NS_PER_S, NOW_NS) == 0


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0 µs"),
        (4.26e-7, "0.4 µs"),
        (0.00099, "990.0 µs"),
        (0.001, "1.000 ms"),
        (0.0123456, "12.346 ms"),
        (1.0, "1.000 s"),
        (3600.25, "3600.250 s"),
        (-0.5, "-500.000 ms"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(value: float, shown: str) -> None:
    assert text.seconds(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0.5, "+500.000 ms"), (-0.5, "-500.000 ms"), (0.0, "+0.0 µs")]
)
def test_a_signed_duration_always_has_its_sign(value: float, shown: str) -> None:
    assert text.signed_seconds(value) == shown


def test_an_offset_stands_with_its_bound() -> None:
    assert text.bounded(0.5, 0.001) == "+500.000 ms ± 1.000 ms"


def test_what_a_remote_said_is_shown_without_what_a_terminal_would_obey() -> None:
    assert text.printable("µ ok") == "µ ok"
    assert text.printable("a\n\x1b[2Jb\x9b\u202e") == "a��[2Jb��"


@pytest.mark.parametrize(
    ("elapsed", "shown"),
    [(0, "0"), (299, "299"), (300, "5m"), (17_999, "299m"), (18_000, "5h"), (432_000, "5d")],
)
def test_ages_grow_in_unit(elapsed: int, shown: str) -> None:
    assert text.age(NOW_NS, NOW_NS + elapsed * NS_PER_S) == shown


def test_what_never_was_has_no_age() -> None:
    assert text.age(None, NOW_NS) == "-"


def test_columns_are_as_wide_as_they_must_be() -> None:
    assert text.table(("remote", "poll"), [("a", "1"), ("longer-one", "10000")]) == [
        "remote       poll",
        "a               1",
        "longer-one  10000",
    ]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((), "-"),
        ((3.5,), "▅"),
        ((1.0, 1.0), "▅▅"),
        ((0.0, 7.0), "▁█"),
        ((7.0, 3.5, 0.0, -0.0), "█▅▁▁"),
        ((-1e-9, 1e-9, 0.0), "▁█▅"),
        # Between two values that are next to each other there is no room for eight steps.
        ((5e-324, 0.0), "█▁"),
    ],
)
def test_a_sparkline_goes_from_the_least_to_the_greatest(
    values: tuple[float, ...], shown: str
) -> None:
    assert text.sparkline(values) == shown
