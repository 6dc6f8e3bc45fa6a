"""Days and instants for the tests of leap seconds."""

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from webntpd.ntp.readings import NS_PER_S

DAY_NS = 86_400 * NS_PER_S
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NEW_YEAR_2017_NS = 1_483_228_800 * NS_PER_S
JUNE_1997_NS = 10_013 * DAY_NS
# Days of more than 400 years, after which the calendar repeats.
days_of_years = st.integers(-200 * 366, 400 * 366)


def utc(instant_ns: int) -> datetime:
    """An instant in whole seconds."""
    return EPOCH + timedelta(seconds=instant_ns // NS_PER_S)
