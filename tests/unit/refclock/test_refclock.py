"""From an output's parameters to the output."""

from pathlib import Path

import pytest

from webntpd.refclock import make_refclock
from webntpd.refclock.base import RefclockParameters, ShmParameters, SockParameters


@pytest.mark.parametrize(
    ("parameters", "name"),
    [(ShmParameters(7), "SHM(7)"), (SockParameters(Path("/run/x.sock")), "SOCK(/run/x.sock)")],
)
def test_the_parameters_choose_the_kind_of_output(
    parameters: RefclockParameters, name: str
) -> None:
    assert make_refclock(parameters).status.name == name
