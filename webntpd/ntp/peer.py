"""One peer as a state machine: events go in, actions come out; it does nothing by itself.

A poll is a burst of one or more exchanges, some seconds apart on a warm connection. Its life:

    start ──Wait──▶ on_timer ──Measure──▶ on_readings ──Wait──▶ on_timer ──▶ ... the burst's end
                       ▲                  or on_failure                           │
                       └────────────────────Wait until the next poll──────────────┘

Every answer ends with exactly one Measure or Wait. A Report precedes it when something visible
changed; the middle of a burst reports nothing, its end does. The task which performs the actions
tells how each ended: it answers a Measure with on_readings or on_failure, a Wait with on_timer.
on_suspend may come in the place of either, and an exchange under way is then abandoned.

The poll interval grows in two ways that do not mix: adaptation follows the steadiness of the
oscillator, backoff counts the polls that failed and is forgotten with the first answer.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from webntpd.ntp.actions import Action, Disconnect, Measure, PeerReport, Report, Wait
from webntpd.ntp.bounds import Bounds, Settled, Window, bounds_of, estimate_of
from webntpd.ntp.estimates import UNKNOWN_FREQUENCY, Frequency, PeerEstimate, Track, seconds_between
from webntpd.ntp.line import Fit, Line
from webntpd.ntp.oscillator import blended, is_refuted
from webntpd.ntp.parameters import MIN_EXCHANGES, PeerParameters
from webntpd.ntp.poll import PollAdaptation, Rng, interval_ns
from webntpd.ntp.readings import (
    NS_PER_S,
    Failure,
    Formula,
    LeapNotice,
    Provenance,
    Reading,
    Rejection,
)

START_SPREAD = 2.0
"""The first poll comes at random within this time, s: not all peers at once."""
MAX_RETRY_AFTER = 86_400.0
"""A Retry-After counts up to this, s: no server may silence a peer for ever."""
REACH_BITS = 0xFF
SUSPEND_UNCERTAINTY = 2e-6
"""After a suspend the oscillator's frequency is known no better than this, s/s: it has cooled."""
REFUSALS = {Rejection.HTTP_STATUS, Rejection.HANDSHAKE, Rejection.PROTOCOL}
"""Failures after which a reachable server is polled less often: it refuses our load, or it breaks
the protocol and puts load on us."""


class Peer:
    """The association with one server (RFC 5905 §9).

    `prior` is the oscillator's frequency as it was known before the peer's own line, `slew` the
    largest rate at which RAW itself may be steered, s/s.
    """

    def __init__(
        self,
        parameters: PeerParameters,
        rng: Rng,
        *,
        prior: Frequency = UNKNOWN_FREQUENCY,
        slew: float = 0.0,
    ) -> None:
        self._parameters = parameters
        self._rng = rng
        self._interval_ns = round(parameters.burst_interval * NS_PER_S)
        self._adaptation = PollAdaptation(parameters.minpoll, parameters.maxpoll)
        self._backoff = 0
        self._reach = 0

        self._remaining = 0  # exchanges that the burst still has to make
        self._filling = False  # whether it is an iburst
        self._earliest_ns = 0  # no exchange before this
        self._poll_began_ns = 0
        self._next_poll_ns = 0
        self._last_was_first = False  # the reading before was a connection's first

        self._slew = slew
        self._window = Window(slew)
        self._line = Line()
        self._prior = prior
        self._fit: Fit | None = None
        self._resolution_ns = NS_PER_S  # the finest resolution in the server's replies, ns
        self._exchanges = 0
        self._best: tuple[Reading, Bounds] | None = None  # this poll's, of the least delay
        self._began_entry = False  # whether this poll began an entry of the window
        self._last_estimate: PeerEstimate | None = None  # at the end of the last poll

        self._has_new_samples = False  # samples have come since the last report
        self._provenance: Provenance | None = None
        self._leap: LeapNotice | None = None
        self._max_error: float | None = None
        self._began_ns = 0  # the start or the last suspend
        self._first_reply_ns: int | None = None
        self._last_reply_ns: int | None = None
        self._last_failure: Failure | None = None
        self._rejections: Counter[Rejection] = Counter()
        self._stamps: Counter[Provenance] = Counter()
        self._readings: list[Reading] = []  # samples that are in no report yet
        self._reported: PeerReport | None = None

    def start(self, now_ns: int) -> tuple[Action, ...]:
        """Begin. The first poll comes within START_SPREAD."""
        self._began_ns = now_ns
        self._next_poll_ns = now_ns + round(self._rng() * START_SPREAD * NS_PER_S)
        return self._then(Wait(self._next_poll_ns), now_ns)

    def on_timer(self, now_ns: int) -> tuple[Action, ...]:
        """Handle the end of the last Wait."""
        if not self._remaining:
            unreachable = not self._reach
            self._reach = self._reach << 1 & REACH_BITS
            self._begin_burst(now_ns, filling=unreachable)
        return self._measure(now_ns)

    def on_readings(self, readings: Sequence[Reading], now_ns: int) -> tuple[Action, ...]:
        """The exchange was answered: it has completed no reading yet, or one, or two."""
        self._remaining -= 1
        if self._take_all(readings, now_ns):
            self._remaining += 1
            return self._measure(now_ns)
        return self._pause(now_ns) if self._remaining else self._end_poll(now_ns)

    def on_failure(
        self, failure: Failure, now_ns: int, readings: Sequence[Reading] = ()
    ) -> tuple[Action, ...]:
        """The exchange failed. The burst ends: the next exchange would fail as well.

        `readings` are of earlier exchanges that were answered and not handed over yet.
        """
        if readings:
            self._take_all(readings, now_ns)
        self._rejections[failure.rejection] += 1
        self._last_failure = failure
        self._last_was_first = False
        self._remaining = 0
        if not self._reach or failure.rejection in REFUSALS:
            self._backoff += self.poll < self._parameters.maxpoll
        if failure.retry_after is not None:
            pause = min(max(0.0, failure.retry_after), MAX_RETRY_AFTER)
            self._earliest_ns = max(self._earliest_ns, now_ns + round(pause * NS_PER_S))
        return self._end_poll(now_ns)

    def on_suspend(self, now_ns: int) -> tuple[Action, ...]:
        """The machine was suspended, so X has a new value: begin anew.

        The oscillator is the same, so its frequency is kept as a prior. A Retry-After still holds.
        """
        known = self._frequency
        self._forget_line(replace(known, uncertainty=max(known.uncertainty, SUSPEND_UNCERTAINTY)))
        self._window.clear()
        self._exchanges = 0
        self._began_ns = now_ns
        self._first_reply_ns = self._last_failure = None
        self._best = None
        self._has_new_samples = False
        self._adaptation.reset()
        self._backoff = 0
        self._reach = 0
        self._last_was_first = False
        self._begin_burst(now_ns, filling=True)
        proceed = self._measure if now_ns >= self._earliest_ns else self._pause
        return (Disconnect(), *proceed(now_ns))

    @property
    def poll(self) -> int:
        """The log2 of the interval in seconds, with the backoff in it."""
        return min(self._adaptation.poll + self._backoff, self._parameters.maxpoll)

    def _begin_burst(self, now_ns: int, *, filling: bool) -> None:
        self._filling = filling
        self._remaining = self._parameters.iburst if filling else self._parameters.burst
        self._poll_began_ns = now_ns
        self._best = None
        self._began_entry = False
        self._plan_poll()

    def _plan_poll(self) -> None:
        self._next_poll_ns = self._poll_began_ns + interval_ns(self.poll, self._rng)

    def _measure(self, now_ns: int) -> tuple[Action, ...]:
        self._earliest_ns = max(self._earliest_ns, now_ns + self._interval_ns)
        return self._go_on(Measure(last=self._remaining == 1), now_ns)

    def _pause(self, now_ns: int) -> tuple[Action, ...]:
        return self._go_on(Wait(self._earliest_ns), now_ns)

    def _go_on(self, action: Measure | Wait, now_ns: int) -> tuple[Action, ...]:
        """The next action of a burst. Only an iburst reports before its end."""
        return self._then(action, now_ns) if self._filling else (action,)

    def _end_poll(self, now_ns: int) -> tuple[Action, ...]:
        if self._best is not None:
            self._extend_line(*self._best)
            self._best = None
            self._adapt_poll(now_ns)
        self._plan_poll()
        # An exchange may have taken longer than the whole interval.
        self._next_poll_ns = max(self._next_poll_ns, self._earliest_ns, now_ns + self._interval_ns)
        return self._then(Wait(self._next_poll_ns), now_ns)

    def _is_warm_up(self, reading: Reading) -> bool:
        """Whether a reading is unusable, because its delay has the connection's start in it.

        A server that closes after each reply gives one first exchange after another: it has no
        warm connections, so all but the first of them are used.
        """
        warm_up = reading.first and not self._last_was_first
        self._last_was_first = reading.first
        return warm_up

    def _take_all(self, readings: Sequence[Reading], now_ns: int) -> bool:
        """Take the readings of an answered exchange; True if one of them was a warm-up."""
        self._reach |= 1
        self._backoff = 0
        self._last_reply_ns = now_ns
        if self._first_reply_ns is None:
            self._first_reply_ns = now_ns
        warm_up = False
        for reading in readings:
            if self._is_warm_up(reading):
                warm_up = True
            else:
                self._take(reading)
        return warm_up

    def _take(self, reading: Reading) -> None:
        """Count a sample, and put its bounds into the window."""
        bounds = bounds_of(reading, self._finest_resolution_ns(reading))
        if bounds.delay < 0:  # digits finer than the server really has
            self._rejections[Rejection.NEGATIVE_DELAY] += 1
            return
        self._exchanges += 1
        self._stamps[reading.provenance] += 1
        self._readings.append(reading)
        self._leap = reading.leap
        self._max_error = reading.max_error
        self._provenance = reading.provenance
        self._has_new_samples = True
        self._began_entry |= self._window.add(reading, bounds, self._frequency)
        self._settle()
        if self._best is None or bounds.delay < self._best[1].delay:
            self._best = reading, bounds

    def _finest_resolution_ns(self, reading: Reading) -> int:
        """The step that the server cuts its times to, ns: the finest that it has shown.

        A time that ends in zeros shows too few digits. A Date always has whole seconds.
        """
        if reading.provenance.formula is Formula.DATE:
            return reading.resolution_ns
        self._resolution_ns = min(reading.resolution_ns, self._resolution_ns)
        return self._resolution_ns

    def _settle(self) -> None:
        """Make the window agree with itself. Count it if it did not, and ask more often."""
        settled = self._window.settle(self._frequency)
        if settled is not Settled.NOTHING:
            self._rejections[Rejection.CONTRADICTION] += 1
            self._adaptation.reset()
            self._prior = UNKNOWN_FREQUENCY  # it may be at fault
        if settled is Settled.CLEARED:
            self._forget_line(UNKNOWN_FREQUENCY)  # and so may the line
            self._best = None

    def _forget_line(self, prior: Frequency) -> None:
        self._line.clear()
        self._fit = None
        self._prior = prior
        self._last_estimate = None

    def _extend_line(self, reading: Reading, bounds: Bounds) -> None:
        """Take the poll's best exchange as a point of the line."""
        extend = self._line.add if self._began_entry else self._line.replace_last
        middle_ns = (reading.r1_ns + reading.r4_ns) // 2
        extend(middle_ns, (bounds.ceiling_ns + bounds.floor_ns) // 2, bounds.delay)
        self._fit = self._line.fit()
        if self._fit is not None and is_refuted(self._prior, self._fit.frequency):
            self._prior = UNKNOWN_FREQUENCY
        self._settle()

    def _adapt_poll(self, now_ns: int) -> None:
        """Poll more seldom while the estimates follow the line (RFC 5905 §11.3)."""
        estimate = estimate_of(self._track(now_ns), now_ns, slew=self._slew)
        before, self._last_estimate = self._last_estimate, estimate
        if before is not None:
            elapsed = seconds_between(before.at_ns, now_ns)
            moved = seconds_between(before.mid_ns, estimate.mid_ns)
            change = moved - estimate.frequency.value * elapsed
            self._adaptation.update(change, before.jitter)

    @property
    def _frequency(self) -> Frequency:
        """The peer's own: the prior, blended with its line as soon as it has one."""
        return self._prior if self._fit is None else blended(self._prior, self._fit.frequency)

    def _track(self, now_ns: int) -> Track:
        configured = self._parameters.root_dispersion
        return Track(
            entries=self._window.entries,
            frequency=self._frequency,
            exchanges=self._exchanges,
            last_reply_ns=now_ns if self._last_reply_ns is None else self._last_reply_ns,
            sigma=None if self._fit is None else self._fit.sigma,
            line_start_ns=None if self._fit is None else self._fit.start_ns,
            root_delay=self._parameters.root_delay,
            root_error=max(configured, self._max_error or 0.0),
            provenance=self._provenance,
            leap=self._leap,
        )

    def _then(self, action: Measure | Wait, now_ns: int) -> tuple[Action, ...]:
        """The action, after a report if anything has changed."""
        report = self._report(now_ns)
        if self._reported is not None and report == replace(self._reported, at_ns=now_ns):
            return (action,)
        self._reported = replace(report, readings=())
        self._readings.clear()
        self._has_new_samples = False
        return (Report(report), action)

    def _report(self, now_ns: int) -> PeerReport:
        return PeerReport(
            name=self._parameters.name,
            reach=self._reach,
            poll=self.poll,
            track=self._track(now_ns) if self._window.entries else None,
            fresh=self._has_new_samples and self._exchanges >= MIN_EXCHANGES,
            at_ns=now_ns,
            next_poll_ns=self._next_poll_ns,
            readings=tuple(self._readings),
            began_ns=self._began_ns,
            first_reply_ns=self._first_reply_ns,
            last_reply_ns=self._last_reply_ns,
            last_failure=self._last_failure,
            rejections=dict(self._rejections),
            stamps=dict(self._stamps),
            prefer=self._parameters.prefer,
            noselect=self._parameters.noselect,
        )
