from hypothesis import given
from hypothesis import strategies as st

from tests.unit.builders import WALL_NS, reading
from webntpd.ntp.readings import (
    NS_PER_S,
    Formula,
    Leap,
    Provenance,
    Reading,
    Rejection,
    StampSource,
)

small_ns = st.integers(0, 10 * NS_PER_S)
MIXED = Provenance(Formula.INTERLEAVED, StampSource.KERNEL, StampSource.USER)


@given(there_ns=small_ns, server_ns=small_ns, back_ns=small_ns, step_ns=st.integers(-(10**15)))
def test_the_delay_is_of_both_ways_even_if_the_wall_clock_is_set(
    there_ns: int, server_ns: int, back_ns: int, step_ns: int
) -> None:
    t2_ns = WALL_NS + there_ns
    elapsed_ns = there_ns + server_ns + back_ns
    made = Reading(
        t1_ns=WALL_NS,
        t2_ns=t2_ns,
        t3_ns=t2_ns + server_ns,
        t4_ns=WALL_NS + elapsed_ns + step_ns,
        r1_ns=7,
        r4_ns=7 + elapsed_ns,
        precision=2e-6,
        provenance=MIXED,
    )
    assert made.delay == (there_ns + back_ns) / NS_PER_S
    assert made.at_ns == 7 + elapsed_ns


def test_a_provenance_names_the_stamps_once_if_they_are_alike() -> None:
    assert str(reading(0).provenance) == "four-stamp user"
    assert str(MIXED) == "interleaved kernel/user"


def test_leap_warnings_have_the_values_of_shm() -> None:
    assert [Leap.NONE, Leap.INSERT, Leap.DELETE] == [0, 1, 2]


def test_rejections_read_as_words() -> None:
    assert all(name.replace("-", "").isalpha() for name in Rejection)
