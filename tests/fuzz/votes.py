"""Target: the vote. The truth lies in the published bounds while it lies in those of a majority.

An input is a sequence of events: peers report, become undecided, leave or join, time passes, the
machine suspends. The true offset is always 0.
"""

from dataclasses import dataclass, replace

from tests.fuzz.draw import Bytes
from tests.unit.builders import STEADY, WALL_NS, report, track
from webntpd.ntp.estimates import Estimate, Tally
from webntpd.ntp.parameters import SystemParameters
from webntpd.ntp.readings import NS_PER_S
from webntpd.ntp.system import System, is_undecided

NAMES = tuple("abcdefghi")


@dataclass
class World:
    """`honest` are the peers whose bounds hold the truth, or will as soon as they have some."""

    names: tuple[str, ...]
    system: System
    honest: set[str]
    now_ns: int = 0
    joined: bool = False  # a peer joined later than another


def test_one(data: bytes) -> None:
    draw = Bytes(data)
    names = NAMES[: 1 + draw.below(len(NAMES))]
    world = World(names, System(SystemParameters(), names), honest=set())
    for name in names:
        on_report(world, name, draw)
    check(world)
    while draw:
        event = draw.byte()
        if event < 180:
            on_report(world, world.names[draw.below(len(world.names))], draw)
        elif event < 200:
            world.now_ns += draw.below(64) * NS_PER_S
        elif event < 245:
            configure(world, draw)
        else:
            world.system.forget()
        check(world)


def configure(world: World, draw: Bytes) -> None:
    """Other peers from now on; those that stay are as they were."""
    chosen = draw.byte() | draw.byte() << 8
    names = tuple(name for place, name in enumerate(NAMES) if chosen >> place & 1)
    if names:
        world.joined |= not set(names) <= set(world.names)
        world.names = names
        world.system.configure(SystemParameters(minimum_agreeing=1 + draw.below(2)), names)


def on_report(world: World, name: str, draw: Bytes) -> None:
    """A report of a peer as it is now; the kind says whether it is honest."""
    kind, width, place = draw.below(8), draw.byte(), draw.share()
    at = world.now_ns / NS_PER_S
    delay = 10 ** (-6 + 6.5 * width / 255)
    # The truth is at any place of an honest peer's bounds, and a liar's are anywhere.
    honest = kind < 4
    error = (place - 0.5) * delay if honest else (place - 0.5) * 10 ** (kind - 5)
    made = report(
        name,
        at_ns=world.now_ns,
        began_ns=world.now_ns,
        track=track(error, delay, at, frequency=STEADY),
        prefer=kind == 1,
        noselect=kind == 2 and width > 128,
    )
    if kind in {3, 7}:  # undecided: too few samples, or none
        fewer = replace(made.track, exchanges=3) if made.track and width > 128 else None
        made = replace(made, track=fewer, first_reply_ns=world.now_ns if fewer else None)
    world.honest.discard(name)
    if honest:
        world.honest.add(name)
    world.system.on_report(made)


def check(world: World) -> None:
    """Vote, and compare the published offset and bound with the truth."""
    verdict = world.system.vote(world.now_ns)
    estimate = verdict.estimate
    if not isinstance(estimate, Estimate):
        assert not verdict.weights
        return
    assert abs(sum(verdict.weights.values()) - 1) < 1e-9
    fit = {name for name, tally in verdict.tallies.items() if tally is not Tally.UNFIT}
    undecided = {each.name for each in world.system.reports if is_undecided(each, world.now_ns)}
    # Newcomers may count or not. Where there are any, only what holds in both cases is checked.
    promised = fit & world.honest if world.joined else (fit | undecided) & world.honest
    if 2 * len(promised) > len(fit | undecided):
        assert abs(estimate.x_ns - WALL_NS) / NS_PER_S <= estimate.error + 2e-9
