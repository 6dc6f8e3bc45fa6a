"""One peer as a state machine: events go in, actions come out; it does nothing by itself.

A poll is a burst of one or more exchanges, some seconds apart on a warm connection. Its life:

    start ──Wait──▶ on_timer ──Measure──▶ on_readings ──Wait──▶ on_timer ──▶ ... the burst's end
                       ▲                  or on_failure                           │
                       └────────────────────Wait until the next poll──────────────┘

Every answer ends with exactly one Measure or Wait; a Report stands before it when anything has
changed that can be seen from outside, but for the middle of a burst: nothing that is voted on
changes there, so the end of the burst tells of all. The task which performs the actions tells how
each ended: it answers a Measure with on_readings or on_failure, a Wait with on_timer.
on_discontinuity may come in the place of either, and an exchange under way is then abandoned.

The poll interval grows in two ways that do not mix: adaptation follows the steadiness of the
clock, backoff counts the polls that failed and is forgotten with the first answer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from webntpd.ntp.filter import ClockFilter, Outcome, best_of, estimate_of
from webntpd.ntp.poll import PollAdaptation, Rng, interval_ns
from webntpd.ntp.types import (
    MIN_SAMPLES,
    NS_PER_S,
    Action,
    Disconnect,
    Failure,
    LeapNotice,
    Measure,
    PeerEstimate,
    PeerParameters,
    PeerReport,
    Provenance,
    Reading,
    Rejection,
    Report,
    Wait,
)

START_SPREAD = 2.0
"""The first poll comes at random within this time, s: not all peers at once."""
MAX_RETRY_AFTER = 86_400.0
"""A Retry-After counts up to this, s: no server may silence a peer for ever."""
REACH_BITS = 0xFF
MISSES = 0b111
"""The polls without an answer that make the filter take in an empty stage (RFC 5905 §13.2)."""
REFUSALS = {Rejection.HTTP_STATUS, Rejection.HANDSHAKE}
"""Failures by which a server may say that it does not want the load."""


class Peer:
    """The association with one server (RFC 5905 §9)."""

    def __init__(self, parameters: PeerParameters, rng: Rng) -> None:
        self._parameters = parameters
        self._rng = rng
        self._interval_ns = round(parameters.burst_interval * NS_PER_S)
        self._filter = ClockFilter()
        self._adaptation = PollAdaptation(parameters.minpoll, parameters.maxpoll)
        self._backoff = 0
        self._reach = 0

        self._remaining = 0  # exchanges that the burst still has to make
        self._filling = False  # whether it is an iburst
        self._earliest_ns = 0  # no exchange before this
        self._poll_began_ns = 0
        self._next_poll_ns = 0
        self._last_was_first = False  # the reading before was a connection's first
        self._burst: list[Reading] = []  # what the burst has brought so far

        self._estimate: PeerEstimate | None = None
        self._settled: PeerEstimate | None = None  # the estimate at the end of the last poll
        self._leap: LeapNotice | None = None
        self._used_ns: int | None = None  # of the newest estimate reported fresh
        self._last_reply_ns: int | None = None
        self._last_failure: Failure | None = None
        self._rejections: Counter[Rejection] = Counter()
        self._stamps: Counter[Provenance] = Counter()
        self._readings: list[Reading] = []  # samples that no report has told of yet
        self._reported: PeerReport | None = None

    def start(self, now_ns: int) -> tuple[Action, ...]:
        """Begin: the first poll comes within START_SPREAD."""
        self._next_poll_ns = now_ns + round(self._rng() * START_SPREAD * NS_PER_S)
        return self._then(Wait(self._next_poll_ns), now_ns)

    def on_timer(self, now_ns: int) -> tuple[Action, ...]:
        """The instant of the last Wait has come."""
        if not self._remaining:
            unreachable = not self._reach
            self._reach = self._reach << 1 & REACH_BITS
            self._begin_burst(now_ns, filling=unreachable)
        return self._measure(now_ns)

    def on_readings(self, readings: Sequence[Reading], now_ns: int) -> tuple[Action, ...]:
        """The exchange was answered; what it completed may be nothing as yet, or two readings."""
        self._reach |= 1
        self._backoff = 0
        self._last_reply_ns = now_ns
        self._remaining -= 1
        warm_up = False
        for reading in readings:
            if self._is_warm_up(reading):
                warm_up = True
            else:
                self._take(reading, now_ns)
        if warm_up:
            self._remaining += 1
            return self._measure(now_ns)
        return self._pause(now_ns) if self._remaining else self._end_poll(now_ns)

    def on_failure(self, failure: Failure, now_ns: int) -> tuple[Action, ...]:
        """The exchange gave no reading. The burst ends: what follows would fail as well."""
        self._rejections[failure.rejection] += 1
        self._last_failure = failure
        self._remaining = 0
        if not self._reach & MISSES:
            self._filter.miss(now_ns)
            self._update_estimate()
        if not self._reach or failure.rejection in REFUSALS:
            self._backoff += self.poll < self._parameters.maxpoll
        if failure.retry_after is not None:
            pause = min(max(0.0, failure.retry_after), MAX_RETRY_AFTER)
            self._earliest_ns = max(self._earliest_ns, now_ns + round(pause * NS_PER_S))
        return self._end_poll(now_ns)

    def on_discontinuity(self, now_ns: int) -> tuple[Action, ...]:
        """The clock was stepped or the machine slept: begin anew, as RFC 5905 §13.2 clears a peer.

        A Retry-After still holds.
        """
        self._filter.flush()
        self._update_estimate()
        self._burst.clear()
        self._settled = None
        self._adaptation.reset()
        self._backoff = 0
        self._reach = 0
        self._last_was_first = False
        self._begin_burst(now_ns, filling=True)
        go_on = self._measure if now_ns >= self._earliest_ns else self._pause
        return (Disconnect(), *go_on(now_ns))

    @property
    def poll(self) -> int:
        """The log2 of the interval in seconds, with the backoff in it."""
        return min(self._adaptation.poll + self._backoff, self._parameters.maxpoll)

    def _begin_burst(self, now_ns: int, *, filling: bool) -> None:
        self._filling = filling
        self._remaining = self._parameters.iburst if filling else self._parameters.burst
        self._poll_began_ns = now_ns
        self._plan_poll()

    def _plan_poll(self) -> None:
        self._next_poll_ns = self._poll_began_ns + interval_ns(self.poll, self._rng)

    def _measure(self, now_ns: int) -> tuple[Action, ...]:
        self._earliest_ns = max(self._earliest_ns, now_ns + self._interval_ns)
        return self._go_on(Measure(last=self._remaining == 1), now_ns)

    def _pause(self, now_ns: int) -> tuple[Action, ...]:
        return self._go_on(Wait(self._earliest_ns), now_ns)

    def _go_on(self, action: Measure | Wait, now_ns: int) -> tuple[Action, ...]:
        """The next action of a burst. Only an iburst has news before its end: the stages fill."""
        return self._then(action, now_ns) if self._filling else (action,)

    def _end_poll(self, now_ns: int) -> tuple[Action, ...]:
        if self._burst:
            self._insert(best_of(self._burst, now_ns), now_ns)
            self._burst.clear()
        estimate, settled = self._estimate, self._settled
        if estimate is not None and (settled is None or estimate.at_ns > settled.at_ns):
            if settled is not None:
                self._adaptation.update(estimate.offset - settled.offset, settled.jitter)
            self._settled = estimate
        self._plan_poll()
        # An exchange may have taken longer than the whole interval.
        self._next_poll_ns = max(self._next_poll_ns, self._earliest_ns, now_ns + self._interval_ns)
        return self._then(Wait(self._next_poll_ns), now_ns)

    def _is_warm_up(self, reading: Reading) -> bool:
        """Whether a reading is not to be used, because its delay has the connection's start in it.

        One first exchange behind another comes from a server that closes after each reply: it
        has no warm connections, and its readings are the best that it gives.
        """
        warm_up = reading.first and not self._last_was_first
        self._last_was_first = reading.first
        return warm_up

    def _take(self, reading: Reading, now_ns: int) -> None:
        """Count a sample. Of a burst the best will stand for the poll; an iburst fills stages."""
        self._stamps[reading.provenance] += 1
        self._readings.append(reading)
        self._leap = reading.leap
        if self._filling:
            self._insert(reading, now_ns)
        else:
            self._burst.append(reading)

    def _insert(self, reading: Reading, now_ns: int) -> None:
        if self._filter.insert(reading, now_ns, self.poll) is Outcome.POPCORN:
            self._rejections[Rejection.POPCORN] += 1
        self._update_estimate()

    def _update_estimate(self) -> None:
        current = self._filter.current
        if current is None:
            self._estimate = None
        else:
            self._estimate = estimate_of(current, self._parameters, self._leap)

    def _then(self, action: Measure | Wait, now_ns: int) -> tuple[Action, ...]:
        """The action, behind a report if there is news."""
        report = self._report(now_ns)
        if self._reported is not None and report == replace(self._reported, at_ns=now_ns):
            return (action,)
        self._reported = replace(report, readings=())
        self._readings.clear()
        if report.fresh and report.estimate is not None:
            self._used_ns = report.estimate.at_ns
        return (Report(report), action)

    def _report(self, now_ns: int) -> PeerReport:
        return PeerReport(
            name=self._parameters.name,
            reach=self._reach,
            poll=self.poll,
            estimate=self._estimate,
            fresh=self._is_fresh(),
            at_ns=now_ns,
            next_poll_ns=self._next_poll_ns,
            readings=tuple(self._readings),
            last_reply_ns=self._last_reply_ns,
            last_failure=self._last_failure,
            rejections=dict(self._rejections),
            stamps=dict(self._stamps),
            prefer=self._parameters.prefer,
            noselect=self._parameters.noselect,
        )

    def _is_fresh(self) -> bool:
        """Whether the estimate is worth a publication: it is fit, and newer than any before."""
        estimate = self._estimate
        return (
            estimate is not None
            and estimate.stages >= MIN_SAMPLES
            and (self._used_ns is None or estimate.at_ns > self._used_ns)
        )
