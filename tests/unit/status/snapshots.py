"""Snapshots of every shape, for the tests of what renders them."""

from typing import Any

from hypothesis import strategies as st

from webntpd.ntp.actions import PeerReport
from webntpd.ntp.estimates import (
    Estimate,
    Frequency,
    NoEstimate,
    PeerEstimate,
    Publication,
    Tally,
    Track,
    Verdict,
)
from webntpd.ntp.readings import (
    NS_PER_S,
    Failure,
    Formula,
    Leap,
    Provenance,
    Rejection,
    StampSource,
)
from webntpd.status.snapshot import PeerStatus, RefclockStatus, ServerStatus, Status

NOW_NS = 100_000 * NS_PER_S
WALL_NS = 1_700_000_000 * NS_PER_S
FREQUENCY = Frequency(12.5e-6, 0.02e-6, 1e-10)
GROWTH = 15e-6


def ago(seconds: float) -> int:
    """The RAW instant that was so many seconds before the snapshot."""
    return NOW_NS - round(seconds * NS_PER_S)


def x_ns(offset: float, seconds_ago: float = 0.0) -> int:
    """X so long before the snapshot, if the offset at the snapshot is to be `offset`."""
    moved = FREQUENCY.value * seconds_ago
    return WALL_NS - NOW_NS + round((offset - moved) * NS_PER_S)


INTERLEAVED = Provenance(Formula.INTERLEAVED, StampSource.KERNEL, StampSource.KERNEL)
TRACK = Track(
    entries=(),
    frequency=FREQUENCY,
    exchanges=99,
    last_reply_ns=ago(12),
    sigma=4.5e-6,
)
MEASURED = PeerEstimate(
    at_ns=ago(10),
    mid_ns=x_ns(-0.000123, 10),
    low_ns=x_ns(-0.006123, 10),
    high_ns=x_ns(0.006077, 10),
    frequency=FREQUENCY,
    growth=GROWTH,
    jitter=4.5e-6,
    delay=0.012,
    spread=0.006,
    provenance=INTERLEAVED,
)
GOOD = PeerReport(
    name="wss://time.example.org/",
    reach=0o377,
    poll=4,
    track=TRACK,
    fresh=True,
    at_ns=ago(12),
    next_poll_ns=ago(-4),
    last_reply_ns=ago(12),
    rejections={Rejection.CONTRADICTION: 1, Rejection.TIMEOUT: 3},
    stamps={
        Provenance(Formula.FOUR_STAMP, StampSource.KERNEL, StampSource.USER): 9,
        INTERLEAVED: 90,
    },
    prefer=True,
)
DEAD = PeerReport(
    name="http://dead.example/",
    reach=0,
    poll=6,
    track=None,
    fresh=False,
    at_ns=ago(1),
    next_poll_ns=ago(0.5),
    last_failure=Failure(Rejection.CONNECT, "refused\x1b[2J"),
    noselect=True,
)
ESTIMATE = Estimate(
    at_ns=ago(10),
    x_ns=x_ns(-0.000123, 10),
    error=0.0065,
    growth=GROWTH,
    jitter=4.5e-6,
    frequency=FREQUENCY,
    system_peer=GOOD.name,
    leap=Leap.INSERT,
)
SYNCHRONISED = Status(
    at_ns=NOW_NS,
    peers=(
        PeerStatus(GOOD, "websocket", Tally.SYSTEM_PEER, MEASURED, (-0.0001, -0.000123)),
        PeerStatus(DEAD, "http", Tally.UNFIT),
    ),
    verdict=Verdict(ESTIMATE, {}, weights={GOOD.name: 1.0}, frequency=FREQUENCY),
    refclocks=(
        RefclockStatus(
            "SHM(2)",
            published=7,
            not_consumed=3,
            last=Publication(WALL_NS - 10 * NS_PER_S, -0.000123, 0.0065, Leap.INSERT),
            consumed=True,
        ),
        RefclockStatus("SOCK(/run/chrony/webntpd.sock)", failures=2, problem="nobody is there"),
    ),
    server=ServerStatus(connections=1, accepted=2, requests=3, messages=4, refusals=5),
    wall_ns=WALL_NS,
    started_ns=ago(7300),
    leap_expires_ns=WALL_NS + 100 * 86_400 * NS_PER_S,
)

differences = st.floats(-10, 10)
durations = st.floats(0, 10)
instants = st.integers(0, NOW_NS)
counts = st.integers(0, 10**9)
names = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20)

provenances = st.builds(
    Provenance,
    st.sampled_from(Formula),
    st.sampled_from(StampSource),
    st.sampled_from(StampSource),
)
frequencies = st.builds(
    Frequency, st.floats(-5e-4, 5e-4), st.floats(0, 2e-4), st.floats(1e-11, 1e-8)
)
offsets_of_x = differences.map(x_ns)
tracks = st.builds(
    Track,
    entries=st.just(()),
    frequency=frequencies,
    exchanges=counts,
    last_reply_ns=instants,
    sigma=st.none() | durations,
)


def _peer_estimate(one_ns: int, other_ns: int, **fields: Any) -> PeerEstimate:
    return PeerEstimate(
        low_ns=min(one_ns, other_ns), high_ns=max(one_ns, other_ns), spread=1.0, **fields
    )


peer_estimates = st.builds(
    _peer_estimate,
    offsets_of_x,
    offsets_of_x,
    at_ns=st.integers(ago(10_000), NOW_NS),
    mid_ns=offsets_of_x,
    frequency=frequencies,
    growth=st.floats(0, 1e-3),
    jitter=durations,
    delay=durations,
    root_delay=durations,
    root_error=durations,
    provenance=st.none() | provenances,
)
reports = st.builds(
    PeerReport,
    name=names,
    reach=st.integers(0, 255),
    poll=st.integers(0, 17),
    track=st.none() | tracks,
    fresh=st.booleans(),
    at_ns=instants,
    next_poll_ns=instants,
    last_reply_ns=st.none() | instants,
    last_failure=st.none() | st.builds(Failure, st.sampled_from(Rejection), st.text()),
    rejections=st.dictionaries(st.sampled_from(Rejection), counts),
    stamps=st.dictionaries(provenances, counts),
    prefer=st.booleans(),
    noselect=st.booleans(),
)


def _peer(report: PeerReport, estimate: PeerEstimate, **fields: Any) -> PeerStatus:
    """A peer; it has an estimate if it has a sample."""
    return PeerStatus(report, estimate=estimate if report.track else None, **fields)


peers = st.builds(
    _peer,
    reports,
    peer_estimates,
    kind=st.sampled_from(["http", "websocket", "time-header"]),
    tally=st.sampled_from(Tally),
    offsets=st.lists(differences, max_size=32).map(tuple),
)
estimates = st.builds(
    Estimate,
    at_ns=st.integers(ago(10_000), NOW_NS),
    x_ns=offsets_of_x,
    error=durations,
    growth=st.floats(0, 1e-3),
    jitter=durations,
    frequency=frequencies,
    system_peer=names,
    leap=st.sampled_from(Leap),
)
refclocks = st.builds(
    RefclockStatus,
    name=names,
    published=counts,
    not_consumed=counts,
    failures=counts,
    problem=st.none() | st.text(),
    last=st.none()
    | st.builds(
        Publication, st.integers(0, WALL_NS), differences, durations, st.sampled_from(Leap)
    ),
    consumed=st.none() | st.booleans(),
)


@st.composite
def _snapshots(draw: st.DrawFn) -> Status:
    polled = draw(st.lists(peers, max_size=4, unique_by=lambda peer: peer.report.name))
    speakers = [each.report.name for each in polled if each.estimate]
    verdict = Verdict(
        estimate=draw(st.sampled_from(NoEstimate) | estimates),
        tallies={},
        weights={name: 1 / len(speakers) for name in speakers},
        frequency=draw(st.none() | frequencies),
    )
    return Status(
        at_ns=NOW_NS,
        wall_ns=WALL_NS,
        peers=tuple(polled),
        verdict=verdict,
        refclocks=tuple(
            draw(st.lists(refclocks, max_size=3, unique_by=lambda each: each.name)),
        ),
        server=draw(st.none() | st.builds(ServerStatus, counts, counts, counts, counts, counts)),
        started_ns=draw(instants),
        leap_expires_ns=draw(st.none() | st.integers(0, 2 * WALL_NS)),
    )


snapshots = _snapshots()
