"""Makes the output that the parameters ask for."""

from webntpd.refclock.base import Refclock, RefclockParameters, ShmParameters
from webntpd.refclock.shm import ShmRefclock
from webntpd.refclock.sock import SockRefclock


def make_refclock(parameters: RefclockParameters) -> Refclock:
    """An output, not yet open."""
    if isinstance(parameters, ShmParameters):
        return ShmRefclock(parameters.unit, parameters.owners)
    return SockRefclock(parameters.path)
