"""One peer's estimate of X = true time - RAW at an instant: a guess, and bounds that hold.

One exchange is two bounds, for any two one-way delays: the server reads T2 after the request left
at R1, and T3 before the reply came at R4. So

    ceiling  U = T2 + r - R1 at R1,   floor  L = T3 - R4 at R4,   L <= X <= U,

where r is the server's resolution: it cuts its times to multiples of r. Bounds are carried to now
by the oscillator's frequency, which is uncertain, so they age.

The same window gives two answers. The *guess* is the middle of the least ceiling and the greatest
floor. Age decides which two are chosen, but does not widen them: the luckiest packet of each
direction meets the other's, whether or not they came in one exchange. The *proof* widens each bound
by the possible error of the frequency, three times its uncertainty and more. It uses this peer's
own frequency: an honest peer's bounds must not depend on other peers.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum, auto
from math import ceil, floor, inf
from typing import NamedTuple

from webntpd.ntp.estimates import Entry, Frequency, PeerEstimate, Track
from webntpd.ntp.readings import NS_PER_S, Reading

WINDOW = 2048.0
MIN_ENTRIES = 8
"""The window holds the entries of the last WINDOW s (the Allan intercept of RFC 5905 §10), and at
least MIN_ENTRIES."""
ENTRY_PAUSE = 8.0
"""An answer starts a new entry after this pause, s: the exchanges of one burst share an entry."""
MAX_ENTRY = 24.0
"""An entry takes answers for this time, s: short polls may leave no pause."""
PROOF_RATE = 5e-6
"""The proof ages by this besides the frequency's uncertainty, s/s: it holds while the oscillator
changes by less than this altogether within a minute. 0.3 ppm held up to 1 ppm a minute only."""
SIGMAS = 3.0
"""Uncertainties of a frequency that bound its error."""
PROOF_WANDER = 2e-9
"""The least wander of the proof, s/s per s: 5 ppm over six hours come to 1.5e-9."""
MIN_GUESS_RATE, MAX_GUESS_RATE = 0.02e-6, 5e-6
"""The least and the greatest rate at which the guess ages with the common frequency, s/s."""
MAX_UNKNOWN_RATE = 500e-6
"""The greatest rate at which the guess ages without a common frequency, s/s: no oscillator is off
by more."""
MIN_HALF_WIDTH = 4e-6
"""Every interval is widened by this at both ends, s: timestamps have errors that no stamp shows."""
HORIZON_ENTRIES = 4
"""A horizon leaves at least this many entries."""


class Bounds(NamedTuple):
    """The two bounds of one exchange, ns: X <= `ceiling_ns` at R1, X >= `floor_ns` at R4."""

    ceiling_ns: int
    floor_ns: int

    @property
    def delay(self) -> float:
        """The distance of the two bounds, s: the round trip plus the resolution."""
        return (self.ceiling_ns - self.floor_ns) / NS_PER_S


def bounds_of(reading: Reading, resolution_ns: int) -> Bounds:
    """The bounds that an exchange gives, where the server's times are cut to `resolution_ns`."""
    return Bounds(
        reading.t2_ns + resolution_ns - reading.r1_ns,
        reading.t3_ns - reading.r4_ns,
    )


class Settled(Enum):
    """The entries that settle() dropped so that the bounds agree."""

    NOTHING = auto()
    HALVED = auto()  # older halves of its entries
    CLEARED = auto()  # everything but the newest entry, which contradicts the one before it


class Window:
    """The window of one peer: its entries, oldest first."""

    def __init__(self, slew: float = 0.0) -> None:
        self.entries: tuple[Entry, ...] = ()
        self._slew = slew
        self._began_ns = 0  # of the newest entry
        self._heard_ns = 0  # of the last answer

    def add(self, reading: Reading, bounds: Bounds, frequency: Frequency) -> bool:
        """Take an exchange; True if it began a new entry, False if it joined the newest.

        `frequency` is the peer's own: it carries bounds from one instant to another.
        """
        entry = Entry(
            bounds.ceiling_ns, reading.r1_ns, bounds.floor_ns, reading.r4_ns, bounds.delay
        )
        continues = self._continues(reading)
        self._heard_ns = reading.r4_ns
        if self.entries and continues:
            joined = _joined(self.entries[-1], entry, frequency)
            if not contradict((joined,), frequency, self._slew):
                self.entries = (*self.entries[:-1], joined)
                return False
        self._began_ns = reading.r4_ns
        self.entries = (*self.entries, entry)
        self._expire(reading.r4_ns)
        return True

    def settle(self, frequency: Frequency) -> Settled:
        """Forget older halves until no bounds contradict each other.

        Bounds that contradict each other mean that the server was stepped, or that the oscillator
        changed by more than the proof allows.
        """
        settled = Settled.NOTHING
        while contradict(self.entries, frequency, self._slew):
            if len(self.entries) <= 2:
                self.entries = self.entries[-1:]
                return Settled.CLEARED
            self.entries = self.entries[len(self.entries) // 2 :]
            settled = Settled.HALVED
        return settled

    def clear(self) -> None:
        self.entries = ()

    def _continues(self, reading: Reading) -> bool:
        return (
            reading.r1_ns - self._heard_ns < ENTRY_PAUSE * NS_PER_S
            and reading.r4_ns - self._began_ns < MAX_ENTRY * NS_PER_S
        )

    def _expire(self, now_ns: int) -> None:
        oldest_ns = now_ns - round(WINDOW * NS_PER_S)
        entries = self.entries
        extra = len(entries) - MIN_ENTRIES
        first = 0
        while first < extra and entries[first].floor_at_ns < oldest_ns:
            first += 1
        self.entries = entries[first:]


def _joined(old: Entry, new: Entry, frequency: Frequency) -> Entry:
    """The least ceiling and the greatest floor of both, compared at the same instant.

    The older bounds age by the frequency's uncertainty: while it is unknown, by milliseconds within
    one burst.
    """

    def moved(rate: float, elapsed_ns: int) -> int:
        return round(rate * elapsed_ns)  # rounded first: a float cannot hold Unix time in ns

    aging = frequency.uncertainty
    apart_ns = new.ceiling_at_ns - old.ceiling_at_ns
    aged_ns = old.ceiling_ns + moved(frequency.value + aging, apart_ns)
    ceiling = new if new.ceiling_ns <= aged_ns else old
    apart_ns = new.floor_at_ns - old.floor_at_ns
    aged_ns = old.floor_ns + moved(frequency.value - aging, apart_ns)
    best_floor = new if new.floor_ns >= aged_ns else old
    return Entry(
        ceiling.ceiling_ns,
        ceiling.ceiling_at_ns,
        best_floor.floor_ns,
        best_floor.floor_at_ns,
        min(old.delay, new.delay),
    )


class _Extremes(NamedTuple):
    """The least ceiling and the greatest floor at one instant, s, relative to the newest floor.

    `ceiling` and `floor` are carried by the frequency alone, `high` and `low` have aged as well.
    The ages are since the instants of measurement, s.
    """

    ceiling: float
    floor: float
    high: float
    low: float
    ceiling_age: float
    floor_age: float


def _extremes(
    entries: Sequence[Entry], now_ns: int, frequency: float, rate: float, wander: float
) -> _Extremes:
    """The extremes at `now_ns`: bounds age by `rate` s/s and `wander` s/s per s.

    The aged bounds decide which ceiling is the least and which floor is the greatest.
    """
    base_ns = entries[-1].floor_ns
    high, low = inf, -inf
    ceiling = best_floor = ceiling_age = best_floor_age = 0.0
    for entry in entries:
        age = (now_ns - entry.ceiling_at_ns) / NS_PER_S
        value = (entry.ceiling_ns - base_ns) / NS_PER_S + frequency * age
        aged = value + (rate + wander * age / 2) * age
        if aged < high:
            high, ceiling, ceiling_age = aged, value, age
        age = (now_ns - entry.floor_at_ns) / NS_PER_S
        value = (entry.floor_ns - base_ns) / NS_PER_S + frequency * age
        aged = value - (rate + wander * age / 2) * age
        if aged > low:
            low, best_floor, best_floor_age = aged, value, age
    return _Extremes(ceiling, best_floor, high, low, ceiling_age, best_floor_age)


def proof_rate(frequency: Frequency, slew: float = 0.0) -> float:
    """How fast the bounds of a peer widen with age, s/s."""
    return SIGMAS * frequency.uncertainty + PROOF_RATE + slew


def guess_rate(common: Frequency | None, own: Frequency) -> float:
    """How fast the bounds of the guess age, s/s.

    That is the uncertainty of the common frequency, or three times that of the peer's own; clipped.
    """
    if common is None:
        return min(SIGMAS * own.uncertainty, MAX_UNKNOWN_RATE)
    return min(max(common.uncertainty, MIN_GUESS_RATE), MAX_GUESS_RATE)


def contradict(entries: Sequence[Entry], frequency: Frequency, slew: float = 0.0) -> bool:
    """Whether no X fits all bounds, by the peer's own frequency."""
    if not entries:
        return False
    now_ns = max(entries[-1].floor_at_ns, entries[-1].ceiling_at_ns)
    found = _proof(entries, now_ns, frequency, slew)
    return found.high < found.low


def _proof(entries: Sequence[Entry], now_ns: int, own: Frequency, slew: float) -> _Extremes:
    """The bounds that hold for an honest peer: nothing in them depends on other peers."""
    wander = max(own.wander, PROOF_WANDER)
    return _extremes(entries, now_ns, own.value, proof_rate(own, slew), wander)


def _guess(
    entries: Sequence[Entry], now_ns: int, common: Frequency | None, own: Frequency, slew: float
) -> _Extremes:
    """The bounds whose middle is the guess.

    A ceiling below a floor means that the oscillator or the server changed since the older entries.
    Then the newer half of them is tried, down to the newest entry. Nothing is deleted.
    """
    frequency = own if common is None else common
    rate = guess_rate(common, own) + slew
    while True:
        found = _extremes(entries, now_ns, frequency.value, rate, own.wander)
        if found.ceiling >= found.floor or len(entries) == 1:
            return found
        entries = entries[len(entries) // 2 :]


def estimate_of(
    track: Track,
    now_ns: int,
    common: Frequency | None = None,
    *,
    horizon_ns: int | None = None,
    slew: float = 0.0,
) -> PeerEstimate:
    """A peer's guess and bounds of X at RAW `now_ns`. Its track has one entry at least.

    `common` is the frequency that the peers have measured together, None if there is none. Entries
    before `horizon_ns` are left out, but HORIZON_ENTRIES of the newest stay. `slew` is the largest
    rate at which RAW itself may be steered, s/s.
    """
    own = track.frequency
    entries = _since(track.entries, horizon_ns)
    proof = _proof(entries, now_ns, own, slew)
    widened = MIN_HALF_WIDTH + track.root_error + track.root_delay / 2
    low = min(proof.low, proof.high) - widened
    high = max(proof.low, proof.high) + widened
    guess = _guess(entries, now_ns, common, own, slew)
    mid = min(max((guess.ceiling + guess.floor) / 2, low), high)
    wander = max(own.wander, PROOF_WANDER)
    base_ns = entries[-1].floor_ns
    return PeerEstimate(
        at_ns=now_ns,
        mid_ns=base_ns + round(mid * NS_PER_S),
        low_ns=base_ns + floor(low * NS_PER_S),
        high_ns=base_ns + ceil(high * NS_PER_S),
        frequency=replace(own, wander=wander),
        growth=proof_rate(own, slew) + wander * max(proof.ceiling_age, proof.floor_age),
        jitter=abs(guess.ceiling - guess.floor) / 2 if track.sigma is None else track.sigma,
        delay=min(entry.delay for entry in entries),
        spread=abs(guess.ceiling - guess.floor) / 2 + widened,
        root_delay=track.root_delay,
        root_error=track.root_error,
        provenance=track.provenance,
        leap=track.leap,
    )


def _since(entries: tuple[Entry, ...], horizon_ns: int | None) -> tuple[Entry, ...]:
    if horizon_ns is None:
        return entries
    first = 0
    while first < len(entries) - HORIZON_ENTRIES and entries[first].floor_at_ns < horizon_ns:
        first += 1
    return entries[first:]
