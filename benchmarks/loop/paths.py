"""The emulated paths: those of the simulation, with TCP's answer to a loss."""

import math
from collections.abc import Mapping, Sequence
from random import Random

from benchmarks.simulation.network import Delay, Path
from benchmarks.simulation.scenarios import BY_NAME

BROADBAND, MOBILE = "broadband", "mobile"
PATHS: Mapping[str, Sequence[Path]] = {
    name: BY_NAME[name].draw(Random(0)) for name in (BROADBAND, MOBILE)
}
"""The paths to the servers, by the scenario's name. They are the same for each seed."""

FIRST_RETRANSMISSION = 0.2
"""TCP sends a lost segment again this long after a round trip, s: Linux's least (TCP_RTO_MIN)."""


def tcp_delays(path: Path) -> tuple[Delay, Delay]:
    """The one-way delays of a segment out and back, with TCP's retransmissions in them."""
    return with_retransmissions(path.out, path.loss), with_retransmissions(path.back, path.loss)


def with_retransmissions(delay: Delay, loss: float) -> Delay:
    """A one-way delay with the time that lost segments need to be sent again.

    `loss` is the chance that an exchange loses one, be it the request or the reply.
    """
    one_way_loss = 1 - math.sqrt(1 - loss)

    def draw(rng: Random, at: float) -> float:
        waited, timeout = 0.0, FIRST_RETRANSMISSION + 2 * delay(rng, at)
        while rng.random() < one_way_loss:
            waited += timeout
            timeout *= 2  # RFC 6298 §5.5
        return waited + delay(rng, at + waited)

    return draw
