"""The holders of the server's connections, and the connection that makes room for another.

A connection counts towards each of its holders: its address or IPv6 /64, and an IPv6 /48. The
longest idle connection of the largest holder makes room. So a client that opens many connections,
from one address or from many in its network, loses its own.

Holders stand in buckets by the number of their connections, which changes by one at a time. So no
step takes longer because there are more connections.
"""

from itertools import islice
from typing import Protocol, TypeVar

LOOKS = 64
"""Most connections of the largest holders that are searched for the longest idle one."""


class Connection(Protocol):
    """A connection has a descriptor, and has been idle since `since`, s."""

    since: float

    def fileno(self) -> int: ...


class ConnectionSlot:
    """The place of one connection."""

    __slots__ = ("connection", "holders")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.holders: tuple[_Holder, ...] = ()


class ConnectionSlots:
    """The places of all connections that are open."""

    def __init__(self) -> None:
        self._holders: dict[str, _Holder] = {}
        self._by_count: dict[int, dict[_Holder, None]] = {}
        self._most = 0

    def take(self, connection: Connection, names: tuple[str, ...]) -> ConnectionSlot:
        """Count a connection towards the holders of those names, the smallest first."""
        slot = ConnectionSlot(connection)
        self._hold(slot, names)
        return slot

    def move(self, slot: ConnectionSlot, names: tuple[str, ...]) -> None:
        """Count the connection towards other holders from now on."""
        self.free(slot)
        self._hold(slot, names)

    def free(self, slot: ConnectionSlot) -> None:
        """Count the connection no more."""
        for holder in slot.holders:
            del holder.slots[slot]
            self._settle(holder, len(holder.slots) + 1)
            if not holder.slots:
                del self._holders[holder.name]
        slot.holders = ()

    def longest_idle_of_the_largest(self) -> Connection:
        """The connection that makes room. There is at least one.

        Several holders may be the largest ones. At most LOOKS of their connections are searched. Of
        a large network, those of the largest address come first. The connections that were searched
        and stay come last in the next search.
        """
        largest = self._by_count[self._most]
        looked = list(
            islice(((holder, slot) for holder in largest for slot in holder.slots), LOOKS)
        )
        _, found = min(looked, key=_preference)
        for holder, slot in looked:
            if slot is not found:
                _move_to_end(holder.slots, slot)
        for holder in dict.fromkeys(holder for holder, _ in looked):
            _move_to_end(largest, holder)
        return found.connection

    def _hold(self, slot: ConnectionSlot, names: tuple[str, ...]) -> None:
        for name in names:
            holder = self._holders.get(name)
            if holder is None:
                holder = self._holders[name] = _Holder(name)
            holder.slots[slot] = None
            slot.holders = (*slot.holders, holder)
            self._settle(holder, len(holder.slots) - 1)

    def _settle(self, holder: "_Holder", before: int) -> None:
        """Put a holder into the bucket of its count, which was one more or one less before."""
        if before:
            bucket = self._by_count[before]
            del bucket[holder]
            if not bucket:
                del self._by_count[before]
        now = len(holder.slots)
        if now:
            self._by_count.setdefault(now, {})[holder] = None
        if now > self._most or self._most not in self._by_count:
            self._most = now


class _Holder:
    __slots__ = ("name", "slots")

    def __init__(self, name: str) -> None:
        self.name = name
        self.slots: dict[ConnectionSlot, None] = {}


def _preference(candidate: tuple[_Holder, ConnectionSlot]) -> tuple[int, float]:
    """The least makes room: the one of the largest address, then the longest idle one."""
    _, slot = candidate
    return -len(slot.holders[0].slots), slot.connection.since


K = TypeVar("K")


def _move_to_end(keys: dict[K, None], key: K) -> None:
    del keys[key]
    keys[key] = None
