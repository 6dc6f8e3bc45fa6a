"""The programs that take the published samples and steer a wall clock by them."""

from collections.abc import Callable, Mapping

from benchmarks.simulation.consumers.chrony import Chrony
from benchmarks.simulation.consumers.free import Free
from benchmarks.simulation.consumers.ntpd import Ntpd
from benchmarks.simulation.consumers.wall import Wall

Maker = Callable[[float, int], Wall]
"""Makes a wall clock from how far it is off at the start, s, and the consumer's poll, log2 s."""

CONSUMERS: Mapping[str, Maker] = {
    "chrony": Chrony,
    "ntpd": Ntpd,
    "none": lambda ahead, _: Free(ahead),
}
