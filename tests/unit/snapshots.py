"""Snapshots of every shape, for the tests of what renders them."""

from hypothesis import strategies as st

from webntpd.ntp.types import (
    NS_PER_S,
    Estimate,
    Failure,
    Formula,
    Leap,
    NoEstimate,
    PeerEstimate,
    PeerReport,
    Provenance,
    Publication,
    Rejection,
    StampSource,
    Tally,
    Verdict,
)
from webntpd.status import PeerStatus, RefclockStatus, ServerStatus, Status

NOW_NS = 100_000 * NS_PER_S
WALL_NS = 1_700_000_000 * NS_PER_S


def ago(seconds: float) -> int:
    """The monotonic instant that was so many seconds before the snapshot."""
    return NOW_NS - round(seconds * NS_PER_S)


GOOD = PeerReport(
    name="wss://time.example.org/",
    reach=0o377,
    poll=4,
    estimate=PeerEstimate(
        offset=-0.000123,
        delay=0.0123,
        dispersion=1e-6,
        jitter=4.5e-6,
        at_ns=ago(20),
        provenance=Provenance(Formula.INTERLEAVED, StampSource.KERNEL, StampSource.KERNEL),
    ),
    fresh=True,
    at_ns=ago(12),
    next_poll_ns=ago(-4),
    last_reply_ns=ago(12),
    rejections={Rejection.POPCORN: 1, Rejection.TIMEOUT: 3},
    stamps={
        Provenance(Formula.FOUR_STAMP, StampSource.KERNEL, StampSource.USER): 9,
        Provenance(Formula.INTERLEAVED, StampSource.KERNEL, StampSource.KERNEL): 90,
    },
    prefer=True,
)
DEAD = PeerReport(
    name="http://dead.example/",
    reach=0,
    poll=6,
    estimate=None,
    fresh=False,
    at_ns=ago(1),
    next_poll_ns=ago(0.5),
    last_failure=Failure(Rejection.CONNECT, "refused\x1b[2J"),
    noselect=True,
)
ESTIMATE = Estimate(-0.000123, 4.5e-6, 0.0065, ago(10), GOOD.name, Leap.INSERT)
SYNCHRONISED = Status(
    at_ns=NOW_NS,
    peers=(
        PeerStatus(GOOD, "websocket", Tally.SYSTEM_PEER, (-0.0001, -0.000123)),
        PeerStatus(DEAD, "http", Tally.UNFIT),
    ),
    verdict=Verdict(ESTIMATE, {}, (GOOD.name,)),
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
peer_estimates = st.builds(
    PeerEstimate,
    offset=differences,
    delay=durations,
    dispersion=durations,
    jitter=durations,
    at_ns=instants,
    root_delay=durations,
    root_dispersion=durations,
    provenance=st.none() | provenances,
    stages=st.integers(1, 8),
)
reports = st.builds(
    PeerReport,
    name=names,
    reach=st.integers(0, 255),
    poll=st.integers(0, 17),
    estimate=st.none() | peer_estimates,
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
peers = st.builds(
    PeerStatus,
    report=reports,
    kind=st.sampled_from(["http", "websocket", "time-header"]),
    tally=st.sampled_from(Tally),
    offsets=st.lists(differences, max_size=32).map(tuple),
)
verdicts = st.builds(
    Verdict,
    estimate=st.sampled_from(NoEstimate)
    | st.builds(
        Estimate, differences, durations, durations, instants, names, st.sampled_from(Leap)
    ),
    tallies=st.just({}),
    survivors=st.lists(names, max_size=4).map(tuple),
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
snapshots = st.builds(
    Status,
    at_ns=st.just(NOW_NS),
    peers=st.lists(peers, max_size=4, unique_by=lambda peer: peer.report.name).map(tuple),
    verdict=verdicts,
    refclocks=st.lists(refclocks, max_size=3, unique_by=lambda each: each.name).map(tuple),
    server=st.none() | st.builds(ServerStatus, counts, counts, counts, counts, counts),
    wall_ns=st.just(WALL_NS),
    started_ns=instants,
    leap_expires_ns=st.none() | st.integers(0, 2 * WALL_NS),
)
