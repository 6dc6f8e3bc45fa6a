"""The connection that makes room when there are too many."""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from webntpd.server.clients import holders_of, share_of
from webntpd.server.slots import LOOKS, Connection, ConnectionSlot, ConnectionSlots


@dataclass(eq=False)
class Fake:
    """A connection that counts how often it is looked at."""

    host: str
    idle_since: float = 0.0
    looks: int = field(default=0)

    @property
    def since(self) -> float:
        self.looks += 1
        return self.idle_since

    @since.setter
    def since(self, value: float) -> None:
        self.idle_since = value

    def fileno(self) -> int:
        return -1


def names(host: str) -> tuple[str, ...]:
    return holders_of(share_of(host))


def filled(connections: list[Fake]) -> tuple[ConnectionSlots, dict[Connection, ConnectionSlot]]:
    slots = ConnectionSlots()
    return slots, {each: slots.take(each, names(each.host)) for each in connections}


def test_the_polite_stay_while_256_addresses_with_64_connections_each_make_room() -> None:
    flood = [Fake(f"192.0.2.{number}", idle_since=100.0) for number in range(256)]
    flood += [Fake(each.host, idle_since=100.0 + n) for n in range(63) for each in flood]
    polite = [Fake("198.51.100.1", idle_since=0.0), Fake("2001:db8:1:2::3", idle_since=0.0)]
    slots, places = filled(polite + flood)
    for _ in range(200):
        victim = slots.longest_idle_of_the_largest()
        assert victim not in polite
        slots.free(places.pop(victim))
        newcomer = Fake("203.0.113.9")
        slots.free(slots.take(newcomer, names(newcomer.host)))


def test_the_longest_idle_connection_of_the_largest_holder_makes_room() -> None:
    connections = [Fake("192.0.2.1", idle_since) for idle_since in (5.0, 3.0, 4.0)]
    slots, places = filled([Fake("192.0.2.2", 1.0), *connections, Fake("192.0.2.2", 2.0)])
    found = []
    for _ in range(3):
        victim = slots.longest_idle_of_the_largest()
        assert isinstance(victim, Fake)
        found.append((victim.host, victim.idle_since))
        slots.free(places[victim])
    # Two of each are left after the first: the one that has had as many for longer comes first.
    assert found == [("192.0.2.1", 3.0), ("192.0.2.2", 1.0), ("192.0.2.1", 4.0)]


def test_among_holders_of_equally_many_the_longest_idle_makes_room() -> None:
    active = Fake("198.51.100.1", idle_since=1000.0)
    flood = [Fake(f"192.0.2.{number}", idle_since=float(number)) for number in range(200)]
    slots, places = filled([active, *flood])
    for _ in flood:
        victim = slots.longest_idle_of_the_largest()
        assert victim is not active
        slots.free(places.pop(victim))
    assert slots.longest_idle_of_the_largest() is active


def test_the_work_is_bounded_however_many_holders_have_equally_many() -> None:
    connections = [Fake(f"10.0.{number >> 8}.{number & 255}") for number in range(4096)]
    slots, places = filled(connections)
    for _ in range(10):
        slots.free(places[slots.longest_idle_of_the_largest()])
    assert LOOKS < sum(each.looks for each in connections) <= 10 * LOOKS


def test_many_networks_of_one_48_count_as_one() -> None:
    flood = [Fake(f"2001:db8:1:{number:x}::1", 9.0) for number in range(100)]
    others = [Fake("192.0.2.1", 1.0) for _ in range(60)]
    slots, _ = filled(others + flood)
    assert slots.longest_idle_of_the_largest() in flood


def test_within_a_48_the_largest_64_makes_room() -> None:
    small = [Fake(f"2001:db8:1:{number:x}::1", 1.0) for number in range(20)]
    large = [Fake("2001:db8:1:ffff::1", 9.0) for _ in range(10)]
    slots, _ = filled(small + large)
    assert slots.longest_idle_of_the_largest() in large


def test_a_connection_that_moves_counts_towards_its_new_holder() -> None:
    proxied = [Fake("10.0.0.1", float(number)) for number in range(4)]
    slots, places = filled([*proxied, Fake("192.0.2.1"), Fake("192.0.2.1")])
    for each in proxied[1:]:
        slots.move(places[each], names("2001:db8::1"))
    assert slots.longest_idle_of_the_largest() is proxied[1]


def test_the_work_is_bounded_however_many_connections_one_holder_has() -> None:
    connections = [Fake("192.0.2.1", float(-number)) for number in range(4096)]
    slots, places = filled(connections)
    for _ in range(10):
        slots.free(places[slots.longest_idle_of_the_largest()])
    assert sum(each.looks for each in connections) <= 10 * LOOKS


HOSTS = ["192.0.2.1", "192.0.2.2", "2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:2:1::1"]


@given(st.lists(st.tuples(st.sampled_from(HOSTS), st.booleans())))
def test_room_is_always_made_by_a_largest_holder(steps: list[tuple[str, bool]]) -> None:
    slots = ConnectionSlots()
    places: dict[Connection, ConnectionSlot] = {}
    counts: Counter[str] = Counter()
    for host, leaves in steps:
        connection = Fake(host)
        places[connection] = slots.take(connection, names(host))
        counts.update(names(host))
        victim = slots.longest_idle_of_the_largest()
        assert isinstance(victim, Fake)
        assert max(counts.values()) in {counts[name] for name in names(victim.host)}
        if leaves:
            slots.free(places.pop(victim))
            counts.subtract(names(victim.host))
