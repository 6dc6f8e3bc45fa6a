"""The peer's life, told event by event; a script plays the task, the server and the time."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.builders import WALL_NS, ns, reading, x_ns
from webntpd.ntp.actions import Action, Disconnect, Measure, PeerReport, Report, Wait
from webntpd.ntp.bounds import estimate_of
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Frequency, PeerEstimate, Track
from webntpd.ntp.parameters import PeerParameters
from webntpd.ntp.peer import MAX_RETRY_AFTER, START_SPREAD, SUSPEND_UNCERTAINTY, Peer
from webntpd.ntp.readings import (
    NS_PER_S,
    Failure,
    Formula,
    LeapNotice,
    Provenance,
    Reading,
    Rejection,
    StampSource,
)

TIMEOUT = Failure(Rejection.TIMEOUT, "no reply")
REFUSED = Failure(Rejection.HTTP_STATUS, "503")


class Script:
    """Plays the task of a peer. `now` is in seconds."""

    def __init__(
        self, chance: float = 0.5, prior: Frequency = UNKNOWN_FREQUENCY, **parameters: Any
    ) -> None:
        self.parameters = PeerParameters("peer", **parameters)
        self.peer = Peer(self.parameters, lambda: chance, prior=prior)
        self.now = 100.0
        self.reports: list[PeerReport] = []
        self.actions: tuple[Action, ...] = ()
        self.take(self.peer.start(ns(self.now)))

    def take(self, actions: tuple[Action, ...]) -> Action:
        self.actions = actions
        self.reports += [action.report for action in actions if isinstance(action, Report)]
        return actions[-1]

    @property
    def report(self) -> PeerReport:
        return self.reports[-1]

    @property
    def track(self) -> Track:
        assert self.report.track is not None
        return self.report.track

    @property
    def estimate(self) -> PeerEstimate:
        return estimate_of(self.track, ns(self.now))

    @property
    def offset(self) -> float:
        return self.estimate.offset(ns(self.now), WALL_NS + ns(self.now))

    @property
    def waiting(self) -> float:
        """For how long the peer wants to wait."""
        (wait,) = (action for action in self.actions if isinstance(action, Wait))
        return wait.until_ns / NS_PER_S - self.now

    def wait(self) -> Action:
        self.now += max(0.0, self.waiting)
        return self.take(self.peer.on_timer(ns(self.now)))

    def answer(self, *offsets: float, delay: float = 0.001, **fields: Any) -> Action:
        assert isinstance(self.actions[-1], Measure)
        self.now += delay
        made = [reading(self.now, offset, delay, **fields) for offset in offsets]
        return self.take(self.peer.on_readings(made, ns(self.now)))

    def fail(self, failure: Failure = TIMEOUT, *readings: Reading) -> Action:
        assert isinstance(self.actions[-1], Measure)
        return self.take(self.peer.on_failure(failure, ns(self.now), readings))

    def suspend(self) -> Action:
        return self.take(self.peer.on_suspend(ns(self.now)))

    def run_poll(self, offset: float = 0.0, delay: float = 0.001) -> None:
        """From the wait before a poll to the one after it, all exchanges answered."""
        self.wait()
        while True:
            last = self.actions[-1] == Measure(last=True)
            self.answer(offset, delay=delay)
            if last:
                return
            self.wait()


def single(**parameters: Any) -> Script:
    """A peer without bursts: one exchange a poll."""
    return Script(burst=1, iburst=1, **parameters)


# Polls and bursts


@pytest.mark.parametrize("chance", [0.0, 0.25, 0.999])
def test_the_first_poll_comes_at_random_within_the_spread(chance: float) -> None:
    script = Script(chance)
    assert script.waiting == pytest.approx(chance * START_SPREAD)
    assert script.report.reach == 0
    assert script.report.track is None
    assert script.report.next_poll_ns == ns(script.now + script.waiting)


def test_an_unreachable_peer_gets_an_iburst_and_a_reachable_one_a_burst() -> None:
    script = Script(burst=2, iburst=3)
    assert script.wait() == Measure(last=False)
    for last in (False, True):
        script.answer(0.0)
        assert script.wait() == Measure(last=last)
    script.answer(0.0)
    assert script.wait() == Measure(last=False)
    script.answer(0.0)
    assert script.wait() == Measure(last=True)


def test_the_exchanges_of_a_burst_begin_one_interval_apart() -> None:
    script = Script(burst_interval=3.0)
    script.wait()
    script.answer(0.0, delay=0.5)
    assert script.waiting == pytest.approx(2.5)


def test_a_slow_exchange_is_followed_by_the_next_one_at_once() -> None:
    script = Script(burst_interval=3.0)
    script.wait()
    script.answer(0.0, delay=4.0)
    assert script.waiting < 0


def test_polls_begin_one_poll_interval_apart_however_long_their_bursts() -> None:
    script = Script(minpoll=6)
    script.wait()
    began = script.now
    for _ in range(7):
        script.answer(0.0)
        script.wait()
    script.answer(0.0)
    assert script.now + script.waiting == pytest.approx(began + 64)


def test_a_burst_longer_than_the_poll_interval_still_leaves_a_pause() -> None:
    script = Script(minpoll=1, iburst=2, burst_interval=2.0)
    script.wait()
    script.answer(0.0)
    script.wait()
    script.answer(0.0, delay=5.0)
    assert script.waiting == pytest.approx(2.0)


def test_a_burst_stops_at_its_first_failure() -> None:
    script = Script(minpoll=6)
    script.wait()
    script.answer(0.0)
    script.wait()
    script.fail()
    assert script.waiting == pytest.approx(62)


def test_an_exchange_that_completes_nothing_as_yet_is_an_answer() -> None:
    script = Script()
    script.wait()
    script.answer()
    assert script.report.reach == 1
    assert script.report.samples == 0
    assert script.report.last_reply_ns == ns(script.now)
    script.wait()
    script.answer(0.0, 0.0)
    assert script.report.samples == 2


# The first exchange of a connection


def test_the_first_exchange_of_a_connection_is_put_aside_and_repeated_at_once() -> None:
    script = Script(iburst=2)
    script.wait()
    assert script.answer(0.5, first=True) == Measure(last=False)
    assert script.report.reach == 1
    assert script.report.samples == 0
    script.answer(0.0)
    assert script.wait() == Measure(last=True)


def test_a_single_exchange_that_is_put_aside_is_repeated_as_the_last() -> None:
    script = single()
    script.wait()
    assert script.answer(0.5, first=True) == Measure(last=True)
    script.answer(0.0)
    assert script.waiting == pytest.approx(16, abs=0.01)
    assert script.report.samples == 1


def test_a_first_exchange_that_is_completed_late_is_put_aside_as_well() -> None:
    script = Script(iburst=2)
    script.wait()
    script.answer()
    script.wait()
    made = [reading(script.now, 0.5, first=True), reading(script.now, 0.0)]
    assert script.take(script.peer.on_readings(made, ns(script.now))) == Measure(last=True)
    assert script.report.samples == 1
    assert script.offset == pytest.approx(0.0)


def test_the_readings_of_a_server_that_always_closes_are_used_from_the_second_on() -> None:
    script = single()
    script.wait()
    script.answer(0.0, first=True)
    script.answer(0.0, first=True)
    script.wait()
    script.answer(0.0, first=True)
    assert script.report.samples == 2


def test_the_first_exchange_after_a_reconnection_is_put_aside_again() -> None:
    script = single()
    script.wait()
    script.answer(0.0, first=True)
    script.answer(0.0)
    script.wait()
    script.answer(0.0, first=True)
    assert script.report.samples == 1


def test_the_first_exchange_after_a_failure_is_put_aside_even_if_one_came_before() -> None:
    """A warm-up, then a failure, then a new connection."""
    script = single()
    script.wait()
    script.answer(0.0, first=True)
    script.fail()
    script.wait()
    assert script.answer(0.5, first=True) == Measure(last=True)
    assert script.report.samples == 0


def test_after_a_suspend_the_first_exchange_is_put_aside_even_if_one_came_before() -> None:
    script = single()
    script.wait()
    script.answer(0.0, first=True)
    script.suspend()
    script.wait()
    assert script.answer(0.0, first=True) == Measure(last=True)
    assert script.report.samples == 0


def test_each_sample_is_told_of_in_one_report() -> None:
    script = Script(iburst=3)
    script.wait()
    script.answer(0.5, first=True)
    script.answer()
    script.wait()
    script.answer(0.25, 0.125)
    script.wait()
    script.fail()
    told = [len(report.readings) for report in script.reports]
    assert [count for count in told if count] == [2]


# Reach, misses, backoff


def test_reach_is_shifted_by_each_poll_and_an_answer_sets_its_last_bit() -> None:
    script = single(maxpoll=4)
    seen = []
    for answered in (True, False, True, True):
        script.wait()
        script.answer(0.0) if answered else script.fail()
        seen.append(script.report.reach)
    assert seen == [0b1, 0b10, 0b101, 0b1011]


def test_reach_has_eight_bits() -> None:
    script = single(maxpoll=4)
    for _ in range(9):
        script.run_poll()
    assert script.report.reach == 0xFF


def test_an_unreachable_peer_keeps_its_measurements() -> None:
    script = single(maxpoll=4)
    for _ in range(8):
        script.run_poll(0.25)
    known = script.track
    for _ in range(10):
        script.wait()
        script.fail()
    assert script.report.reach == 0
    assert script.track == known


def test_an_unreachable_peer_is_polled_ever_more_rarely_and_an_answer_forgets_that() -> None:
    script = single(minpoll=4, maxpoll=6)
    polls = []
    for _ in range(4):
        script.wait()
        script.fail()
        polls.append(script.report.poll)
    assert polls == [5, 6, 6, 6]
    assert script.waiting == pytest.approx(64)
    script.wait()
    script.answer(0.0)
    assert script.report.poll == 4
    assert script.waiting == pytest.approx(16, abs=0.01)


def test_a_reachable_peer_that_fails_otherwise_keeps_its_interval() -> None:
    script = single()
    script.run_poll()
    script.wait()
    script.fail(TIMEOUT)
    assert script.report.poll == 4


@pytest.mark.parametrize(
    "rejection", [Rejection.HTTP_STATUS, Rejection.HANDSHAKE, Rejection.PROTOCOL]
)
def test_a_server_that_refuses_is_polled_more_rarely_at_once(rejection: Rejection) -> None:
    script = single()
    script.run_poll()
    script.wait()
    script.fail(Failure(rejection, "no"))
    assert script.report.reach == 0b10
    assert script.report.poll == 5


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [(0.0, 32), (-5.0, 32), (3.0, 32), (500.0, 500), (1e9, MAX_RETRY_AFTER)],
)
def test_retry_after_is_honoured_within_a_day(retry_after: float, expected: float) -> None:
    script = single()
    script.wait()
    script.fail(replace(REFUSED, retry_after=retry_after))
    assert script.waiting == pytest.approx(expected)
    assert script.report.next_poll_ns == ns(script.now + script.waiting)


@pytest.mark.parametrize("retry_after", [float("inf"), float("nan")])
def test_a_retry_after_that_is_no_number_does_no_harm(retry_after: float) -> None:
    script = single()
    script.wait()
    script.fail(replace(REFUSED, retry_after=retry_after))
    assert 0 < script.waiting <= MAX_RETRY_AFTER


def test_failures_are_counted_by_name_and_the_last_one_is_shown() -> None:
    script = single()
    counts = []
    for failure in (TIMEOUT, REFUSED, TIMEOUT):
        script.wait()
        script.fail(failure)
        counts.append(script.report.rejections)
    assert counts[0] == {Rejection.TIMEOUT: 1}
    assert script.report.rejections == {Rejection.TIMEOUT: 2, Rejection.HTTP_STATUS: 1}
    assert script.report.last_failure == TIMEOUT


# Tracks


def test_an_exchange_becomes_bounds_with_the_parameters_of_the_peer() -> None:
    script = Script(root_delay=0.01, root_dispersion=0.002)
    notice = LeapNotice(37, 1_483_228_800 * NS_PER_S, 1)
    script.wait()
    script.answer(0.25, delay=0.004, leap=notice)
    track = script.track
    assert script.offset == pytest.approx(0.25, abs=1e-5)
    assert script.estimate.delay == pytest.approx(0.004, abs=1e-8)
    assert track.last_reply_ns == script.report.first_reply_ns == ns(script.now)
    assert track.root_delay == 0.01
    assert track.root_error == 0.002
    assert track.leap == notice
    assert str(track.provenance) == "four-stamp user"
    assert track.exchanges == 1
    assert track.frequency == UNKNOWN_FREQUENCY
    assert track.sigma is track.line_start_ns is None


@pytest.mark.parametrize(("told", "believed"), [(None, 0.002), (0.0, 0.002), (0.003, 0.003)])
def test_the_root_error_is_the_larger_of_maxerr_and_the_configured_one(
    told: float | None, believed: float
) -> None:
    script = Script(root_dispersion=0.002)
    script.wait()
    script.answer(0.0, max_error=told)
    assert script.track.root_error == believed


def test_the_leap_notice_is_the_latest() -> None:
    script = Script()
    notice = LeapNotice(37, 0, 1)
    script.wait()
    script.answer(0.0, delay=0.001)
    script.wait()
    script.answer(0.0, delay=0.1, leap=notice)
    assert script.track.leap == notice


def test_the_resolution_is_the_finest_that_the_server_has_shown() -> None:
    script = Script()
    script.wait()
    widths = []
    for resolution in (0.1, 0.001, 1.0):
        script.answer(0.0, delay=0.0, resolution_ns=ns(resolution))
        (entry,) = script.track.entries
        widths.append(entry.ceiling_ns - entry.floor_ns)
        script.wait()
    assert widths == pytest.approx([ns(0.1), ns(0.001), ns(0.001)], abs=ns(0.0005))


def test_a_date_is_cut_to_seconds_even_after_finer_times() -> None:
    script = Script()
    script.wait()
    script.answer(0.0, delay=0.0, resolution_ns=ns(0.001))
    script.wait()
    dated = Provenance(Formula.DATE, StampSource.USER, StampSource.USER)
    script.answer(0.0, delay=0.0, resolution_ns=NS_PER_S, provenance=dated)
    assert script.estimate.delay == pytest.approx(0.001)
    late = replace(script.report.readings[-1], resolution_ns=NS_PER_S)
    script.wait()
    script.take(script.peer.on_readings([replace(late, t3_ns=late.t3_ns + 1)], ns(script.now)))
    assert Rejection.NEGATIVE_DELAY not in script.report.rejections


def test_digits_finer_than_the_server_really_has_are_no_measurement() -> None:
    script = Script()
    script.wait()
    script.answer(0.0, delay=0.0, resolution_ns=1)
    script.wait()
    made = reading(script.now, 0.0, 0.0, resolution_ns=NS_PER_S)
    late = replace(made, t3_ns=made.t3_ns + ns(0.5))
    script.take(script.peer.on_readings([late], ns(script.now)))
    assert script.report.rejections == {Rejection.NEGATIVE_DELAY: 1}
    assert script.report.samples == 1


def test_an_iburst_tells_of_each_sample_and_is_fresh_from_the_fourth_on() -> None:
    script = Script(iburst=6)
    script.wait()
    fresh = []
    for _ in range(6):
        script.answer(0.0)
        fresh.append(script.report.fresh)
        script.wait()
    assert fresh == [False, False, False, True, True, True]


def test_of_a_burst_only_its_end_is_reported_with_all_that_it_brought() -> None:
    script = Script(iburst=4, burst=3)
    script.run_poll()
    script.reports.clear()
    for delay in (3e-4, 2e-4, 4e-4):
        assert script.reports == []
        script.wait()
        script.answer(0.0, delay=delay)
    (report,) = script.reports
    assert report.fresh
    assert [made.delay for made in report.readings] == pytest.approx([3e-4, 2e-4, 4e-4], abs=1e-8)
    assert report.samples == 7


def test_a_burst_is_one_entry() -> None:
    script = Script(iburst=4, burst=3, minpoll=6)
    script.run_poll()
    script.run_poll()
    assert len(script.track.entries) == 2
    assert script.track.exchanges == script.report.samples == 7


def test_every_answered_poll_is_fresh_even_if_it_is_worse() -> None:
    script = single(maxpoll=4)
    for _ in range(4):
        script.run_poll()
    assert script.report.fresh
    script.run_poll(delay=0.01)
    assert script.report.fresh


def test_a_poll_without_an_answer_is_not_fresh() -> None:
    script = single(maxpoll=4)
    for _ in range(4):
        script.run_poll()
    script.wait()
    script.fail()
    assert not script.report.fresh


def test_a_burst_that_fails_half_way_brings_what_it_has() -> None:
    script = Script(iburst=4, burst=3)
    script.run_poll()
    script.reports.clear()
    script.wait()
    script.answer(0.0)
    script.wait()
    script.fail()
    (report,) = script.reports
    assert report.fresh
    assert len(report.readings) == 1


def test_a_failure_brings_the_readings_that_were_complete_before_it() -> None:
    script = Script(burst=2)
    script.run_poll()
    script.wait()
    script.answer()
    script.wait()
    script.reports.clear()
    script.fail(TIMEOUT, reading(script.now, 0.0, 0.001))
    (report,) = script.reports
    assert report.fresh
    assert len(report.readings) == 1
    assert report.last_failure == TIMEOUT
    assert report.reach & 1


# The line


def test_polls_make_a_line() -> None:
    script = Script(minpoll=6, maxpoll=6)
    drift = 20e-6
    for _ in range(20):
        script.run_poll(drift * script.now)
    assert script.track.frequency.value == pytest.approx(drift, rel=0.01)
    assert script.track.frequency.uncertainty < 1e-6
    assert script.track.sigma is not None
    assert script.track.line_start_ns is not None


def test_the_prior_stands_for_the_line_until_there_is_one() -> None:
    prior = Frequency(20e-6, 2e-6, 1e-9)
    script = Script(prior=prior)
    script.run_poll()
    assert script.track.frequency == prior


def test_polls_without_a_pause_share_a_point() -> None:
    script = single(minpoll=2, maxpoll=2)
    for _ in range(24):
        script.run_poll()
    assert script.track.exchanges == 24
    assert 4 <= len(script.track.entries) <= 5


def test_a_step_of_the_server_is_counted_and_forgets_window_and_line() -> None:
    script = Script(minpoll=6, maxpoll=6)
    for _ in range(10):
        script.run_poll(0.0)
    script.run_poll(0.05)
    assert script.report.rejections[Rejection.CONTRADICTION] == 1
    assert len(script.track.entries) == 1
    assert script.track.frequency == UNKNOWN_FREQUENCY
    assert script.track.sigma is None
    assert script.offset == pytest.approx(0.05, abs=1e-3)


def test_a_step_in_the_middle_of_a_burst_leaves_no_point_of_the_time_before() -> None:
    script = Script(minpoll=6, maxpoll=6, burst=4)
    for _ in range(10):
        script.run_poll(0.0)
    script.wait()
    for offset in (0.0, 0.0, 0.05):
        script.answer(offset)
        script.wait()
    script.answer(0.05, delay=0.002)
    for _ in range(8):
        script.run_poll(0.05)
    assert abs(script.track.frequency.value) < 1e-6
    assert script.offset == pytest.approx(0.05, abs=1e-3)


@pytest.mark.parametrize("delay", [1e-4, 0.01, 0.1])
def test_a_wrong_prior_is_given_up(delay: float) -> None:
    """Whether or not the path is quiet enough for bounds to contradict each other at once."""
    script = Script(prior=Frequency(0.0, 2e-6, 1e-10), minpoll=6, maxpoll=6)
    for _ in range(160):
        if isinstance(script.actions[-1], Wait):
            script.wait()
        script.answer(100e-6 * (script.now + delay / 2), delay=delay)
    assert script.track.frequency.value == pytest.approx(100e-6, rel=0.02)
    truth_ns = x_ns(100e-6 * script.now)
    assert script.estimate.low_ns <= truth_ns <= script.estimate.high_ns


# Adaptation


def test_a_steady_clock_is_polled_more_rarely() -> None:
    script = single(minpoll=4, maxpoll=10)
    for _ in range(30):
        script.run_poll()
    assert script.report.poll >= 7


def test_a_constant_bias_is_steady_too() -> None:
    script = single(minpoll=4, maxpoll=10)
    for _ in range(30):
        script.run_poll(0.5)
    assert script.report.poll >= 7


def test_a_contradiction_has_the_peer_asked_more_often() -> None:
    script = single(minpoll=4, maxpoll=10)
    while script.report.poll < 6:
        script.run_poll()
    script.run_poll(0.01)
    assert script.report.poll == 4


def test_a_restless_clock_is_polled_more_often_again() -> None:
    """Each poll is later than the one before by more than the line explains."""
    script = single(minpoll=4, maxpoll=10)
    while script.report.poll < 6:
        script.run_poll(delay=2e-5)
    offset = 0.0
    for turn in range(20):
        offset += 2e-4 * turn
        script.run_poll(offset, delay=0.1)
    assert script.report.poll < 6


# Suspend


def test_a_suspend_forgets_everything_but_the_frequency_and_measures_anew() -> None:
    script = single(maxpoll=4)
    for _ in range(20):
        script.run_poll(0.25)
    known = script.track.frequency
    script.now += 10
    script.suspend()
    assert isinstance(script.actions[0], Disconnect)
    assert script.actions[-1] == Measure(last=True)
    assert script.report.track is None
    assert script.report.reach == 0
    assert script.report.first_reply_ns is None
    script.answer(-7.0)
    assert script.offset == pytest.approx(-7.0)
    assert script.track.exchanges == 1
    assert script.track.frequency.value == known.value
    assert script.track.frequency.uncertainty == max(known.uncertainty, SUSPEND_UNCERTAINTY)
    assert script.report.rejections == {}


def test_a_suspend_drops_the_samples_of_the_burst() -> None:
    script = Script(iburst=4, burst=3)
    script.run_poll()
    script.wait()
    script.answer(0.0)
    script.suspend()
    script.run_poll(0.5)
    assert script.track.exchanges == 4
    assert script.offset == pytest.approx(0.5, abs=1e-3)


def test_a_suspend_in_the_middle_of_a_burst_keeps_the_distance_of_exchanges() -> None:
    script = Script(burst_interval=2.0)
    script.wait()
    script.suspend()
    assert script.waiting == pytest.approx(2.0)
    assert script.wait() == Measure(last=False)
    for _ in range(7):
        script.answer(0.0)
        last = script.wait()
    assert last == Measure(last=True)


def test_a_suspend_does_not_override_a_retry_after() -> None:
    script = single()
    script.wait()
    script.fail(replace(REFUSED, retry_after=500))
    script.now += 100
    script.suspend()
    assert script.waiting == pytest.approx(400)


def test_a_suspend_forgets_interval_and_backoff() -> None:
    script = single(minpoll=4, maxpoll=10)
    for _ in range(30):
        script.run_poll()
    script.wait()
    script.fail(REFUSED)
    assert script.report.poll > 7
    script.suspend()
    assert script.report.poll == 4


# Reports


def test_there_is_no_report_when_nothing_has_changed() -> None:
    script = Script()
    script.wait()
    script.answer(0.0)
    assert script.wait() == script.actions[0] == Measure(last=False)


def test_a_report_carries_the_configuration_of_the_vote() -> None:
    script = Script(prefer=True, noselect=True)
    assert script.report.name == "peer"
    assert script.report.prefer
    assert script.report.noselect


failures = st.builds(
    Failure,
    st.sampled_from(Rejection),
    st.just(""),
    st.none() | st.floats(0, 200),
)
answers = st.lists(st.tuples(st.floats(-1, 1), st.floats(0, 0.5), st.booleans()), max_size=2)


@settings(max_examples=50)
@given(
    chance=st.floats(0, 1, exclude_max=True),
    burst=st.integers(1, 3),
    iburst=st.integers(1, 4),
    events=st.lists(st.one_of(failures, answers, st.none()), max_size=80),
)
def test_whatever_happens_the_answers_are_in_order(
    chance: float,
    burst: int,
    iburst: int,
    events: list[Failure | list[tuple[float, float, bool]] | None],
) -> None:
    script = Script(chance, burst=burst, iburst=iburst)
    not_before = 0.0
    for event in events:
        if isinstance(script.actions[-1], Wait):
            script.wait()
            assert script.now >= not_before
        known = len(script.reports)
        if event is None:
            script.suspend()
        elif isinstance(event, Failure):
            script.fail(event)
            if event.retry_after is not None:
                not_before = script.now + event.retry_after - 1e-6
        else:
            made = [reading(script.now, o, d, first=f) for o, d, f in event]
            script.take(script.peer.on_readings(made, ns(script.now)))

        *others, final = script.actions
        assert isinstance(final, Measure | Wait)
        assert all(isinstance(action, Report | Disconnect) for action in others)
        assert len(script.reports) <= known + 1
        report = script.report
        assert 0 <= report.reach <= 0xFF
        assert 4 <= report.poll <= 6
        if report.fresh and len(script.reports) > known:
            assert report.readings
            assert report.track is not None
        if isinstance(final, Wait):
            assert final.until_ns <= max(report.next_poll_ns, ns(script.now + 2.0), ns(not_before))
        script.now += 0.01
