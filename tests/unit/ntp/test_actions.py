from tests.unit.builders import report
from webntpd.ntp.readings import (
    Formula,
    Provenance,
    StampSource,
)


def test_samples_are_counted_whatever_they_were_made_of() -> None:
    user, kernel = (Provenance(Formula.TWO_STAMP, each, each) for each in StampSource)
    assert report("a").samples == 0
    assert report("a", stamps={user: 2, kernel: 3}).samples == 5
