"""What the views of many lines share."""

import pytest

from tests.unit.status.snapshots import NOW_NS, SYNCHRONISED, ago
from tests.unit.status.snapshots import ago as before
from webntpd.ntp.estimates import Frequency
from webntpd.ntp.readings import NS_PER_S
from webntpd.status import facts


def test_values_stand_below_each_other_and_blocks_apart() -> None:
    assert facts.paragraphs([[("a", "1"), ("longer", "2")], [("b", "3")]]) == [
        "a              : 1",
        "longer         : 2",
        "",
        "b              : 3",
    ]


@pytest.mark.parametrize(
    ("frequency", "text"),
    [
        (Frequency(12.3456e-6, 0.02e-6, 0.0), "12.346 ppm slow, uncertain by 0.020 ppm"),
        (Frequency(-0.5e-6, 1.5e-6, 0.0), "0.500 ppm fast, uncertain by 1.500 ppm"),
        (None, "not known yet"),
    ],
)
def test_an_oscillator_is_slow_where_true_time_gains_on_it(
    frequency: Frequency | None, text: str
) -> None:
    assert facts.oscillator(frequency) == text


def test_what_never_was_was_never() -> None:
    assert facts.ago(None, SYNCHRONISED) == "never"
    assert facts.ago(before(3), SYNCHRONISED) == "3 s ago"


def test_a_time_has_its_unit() -> None:
    assert facts.lasting(ago(299), SYNCHRONISED) == "299 s"
    assert facts.lasting(ago(300), SYNCHRONISED) == "5m"


def test_what_is_past_is_no_longer_ahead() -> None:
    assert facts.ahead(NOW_NS + NS_PER_S, NOW_NS) == 1
    assert facts.ahead(NOW_NS - NS_PER_S, NOW_NS) == 0
