"""The estimator as a whole: the truth must always lie within the bounds."""

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.ntp.world import MS, X_NS, Seen, Server, WallClock, World
from webntpd.ntp.estimates import Estimate, PeerEstimate, Tally, Verdict
from webntpd.ntp.readings import NS_PER_S, Rejection
from webntpd.ntp.system import calls_for_publication

WORLDS = 40
"""Each takes about a tenth of a second."""


def holds(estimate: PeerEstimate, x_ns: int) -> bool:
    return estimate.low_ns <= x_ns <= estimate.high_ns


def check(world: World, seen: Seen) -> None:
    """Check the bounds of a vote's honest peers, and of its estimate by an honest majority."""
    x_ns = world.oscillator.x_ns(seen.raw_ns)
    honest = {name for name, server in world.servers.items() if server.honest}
    estimates = seen.verdict.estimates
    for name in honest & estimates.keys():
        assert holds(estimates[name], x_ns), (name, seen.raw_ns / NS_PER_S)
        # The bound is still good when nothing comes for a minute.
        later_ns = seen.raw_ns + 60 * NS_PER_S
        offset = estimates[name].offset(later_ns, later_ns + world.oscillator.x_ns(later_ns))
        assert abs(offset) <= estimates[name].error_bound(later_ns) + 1e-9, name
    tallies = seen.verdict.tallies
    electorate = seen.undecided | {n for n, tally in tallies.items() if tally is not Tally.UNFIT}
    if 2 * len(electorate & honest) <= len(electorate):
        return
    estimate = seen.verdict.estimate
    if isinstance(estimate, Estimate):
        assert abs(estimate.x_ns - x_ns) / NS_PER_S <= estimate.error + 1e-9


def honest_server(rng: Random) -> Server:
    max_error = rng.choice((None, 0.0, 0.001))
    bias_ns = round(rng.uniform(-1, 1) * (max_error or 0.0) * NS_PER_S)
    scale = rng.choice((1e-5, 0.002, 0.05))
    return Server(
        error_ns=lambda _: bias_ns,
        least=(scale * rng.random(), scale * rng.random()),
        queueing=scale * rng.choice((0.01, 1.0)),
        max_error=max_error,
        digits_ns=rng.choice((1, 1, 1000, 1_000_000)),
        interleaved=rng.random() < 0.3,
        kernel=rng.random() < 0.7,
        loss=rng.choice((0.0, 0.1)),
    )


def lie(rng: Random) -> Callable[[int], int]:
    """The error of a liar's clock at a RAW instant, ns: one of several kinds."""
    size_ns = rng.choice((-1, 1)) * 10 ** rng.uniform(4, 9)
    period_ns = rng.uniform(20, 2000) * NS_PER_S
    rate = rng.uniform(-100e-6, 100e-6)
    kinds: tuple[Callable[[int], float], ...] = (
        lambda _: size_ns,
        lambda raw_ns: rate * raw_ns,
        lambda raw_ns: size_ns * (raw_ns // period_ns % 2),
        lambda raw_ns: -1.5 * max(0, raw_ns - 500 * NS_PER_S),
        lambda _: rng.uniform(-size_ns, size_ns),
    )
    kind = rng.choice(kinds)
    return lambda raw_ns: round(kind(raw_ns))


@settings(max_examples=WORLDS)
@given(st.integers(0, 2**32))
def test_bounds_hold_against_any_consumer_and_any_minority_of_servers(seed: int) -> None:
    rng = Random(seed)
    honest, liars = rng.choice(((1, 0), (2, 1), (3, 1), (3, 2)))
    servers = {f"honest {index}": honest_server(rng) for index in range(honest)}
    servers |= {
        f"liar {index}": Server(
            lie(rng), honest=False, least=(1e-5, 1e-5), queueing=1e-5, quick=rng.random() < 0.3
        )
        for index in range(liars)
    }
    world = World(seed, servers)
    published = 0
    for seen in world.run():
        check(world, seen)
        published += calls_for_publication(seen.verdict, seen.report)
    assert published


def at_poll_starts(seed: int, *, steps: bool) -> list[tuple[int, Verdict]]:
    """All votes on one peer. With `steps` the wall clock is set while the peer waits."""

    class Stepped(WallClock):
        stepped_ns = 0

        def at(self, raw_ns: int) -> int:
            return X_NS + raw_ns + self.stepped_ns

    clock = Stepped(Random(0), 0.0, steps=False)
    rng = Random(seed)
    # Kernel stamps before a step cannot be carried over to RAW behind it, so user space stamps.
    server = Server(kernel=False, loss=0.1)
    world = World(seed, {"a": server}, clock=clock)
    votes = []
    for seen in world.run():
        votes.append((seen.raw_ns, seen.verdict))
        if steps and seen.report.fresh:
            clock.stepped_ns += round(rng.choice((-1, 1)) * 10 ** rng.uniform(3, 12))
    return votes


@pytest.mark.parametrize("seed", range(3))
def test_a_step_of_the_wall_clock_changes_no_estimate(seed: int) -> None:
    votes = at_poll_starts(seed, steps=True)
    assert len(votes) > 30
    assert votes == at_poll_starts(seed, steps=False)


AT_NS = 700 * NS_PER_S
"""When a server in the tests below begins to misbehave, RAW."""


def jumps(raw_ns: int) -> int:
    return 300 * MS if raw_ns > AT_NS else 0


def goes_backwards(raw_ns: int) -> int:
    return -2 * max(0, raw_ns - AT_NS)


def runs_at_a_wrong_rate(raw_ns: int) -> int:
    return raw_ns // 10_000


def contradicts_itself(raw_ns: int) -> int:
    return 50 * MS * (raw_ns // (40 * NS_PER_S) % 2)


@pytest.mark.parametrize("error", [jumps, goes_backwards, contradicts_itself])
def test_contradictions_of_a_server_are_counted_and_never_published(
    error: Callable[[int], int],
) -> None:
    servers = {"liar": Server(error, honest=False)} | {name: Server() for name in "ab"}
    world = World(1, servers)
    rejections: dict[str, int] = {}
    for seen in world.run():
        check(world, seen)
        rejections[seen.report.name] = seen.report.rejections.get(Rejection.CONTRADICTION, 0)
    assert rejections["liar"]
    assert not rejections["a"]
    assert not rejections["b"]


def test_a_server_of_a_wrong_rate_among_three_is_never_published() -> None:
    world = World(
        2, {"liar": Server(runs_at_a_wrong_rate, honest=False), "a": Server(), "b": Server()}
    )
    tallies = set()
    for seen in world.run():
        check(world, seen)
        tallies.add(seen.verdict.tallies.get("liar"))
    assert Tally.FALSETICKER in tallies


@pytest.mark.parametrize("step_ns", [50 * MS, -50 * MS, 3600 * NS_PER_S])
def test_a_lone_server_that_was_set_is_followed_within_three_polls(step_ns: int) -> None:
    world = World(3, {"a": Server(lambda raw_ns: step_ns if raw_ns > AT_NS else 0, loss=0.0)})
    polls = 0
    for seen in world.run():
        if not seen.report.fresh or seen.raw_ns < AT_NS + NS_PER_S:
            continue
        polls += 1
        if polls < 3:
            continue
        estimate = seen.verdict.estimate
        assert isinstance(estimate, Estimate)
        server_ns = world.oscillator.x_ns(seen.raw_ns) + step_ns
        assert abs(estimate.x_ns - server_ns) / NS_PER_S <= estimate.error
        assert abs(estimate.x_ns - server_ns) <= 6 * MS
    assert polls > 10
