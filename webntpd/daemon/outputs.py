"""The refclocks that are open. A reload opens new ones first and closes old ones last."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from webntpd.config import RefclockSpec
from webntpd.daemon.system_task import Destination
from webntpd.refclock import make_refclock
from webntpd.refclock.base import Refclock, RefclockParameters


class Outputs:
    """The open refclocks, by their parameters."""

    def __init__(self) -> None:
        self._open: dict[RefclockParameters, Refclock] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self, specs: Iterable[RefclockSpec]) -> Iterator[None]:
        """Open the refclocks that are new in `specs`; close them again if the body fails.

        Raises RefclockError if one of them can never be used.
        """
        added: dict[RefclockParameters, Refclock] = {}
        with ExitStack() as undo:
            for parameters in {spec.parameters for spec in specs} - self._open.keys():
                refclock = make_refclock(parameters)
                refclock.open()
                undo.callback(refclock.close)
                added[parameters] = refclock
            yield
            undo.pop_all()
        self._open |= added

    def destinations(self, specs: Iterable[RefclockSpec]) -> list[Destination]:
        """The open refclocks of `specs`, each with the one peer that it follows, if any."""
        return [Destination(self._open[spec.parameters], spec.peer) for spec in specs]

    def close_all_but(self, specs: Iterable[RefclockSpec]) -> None:
        """Close the refclocks that are not in `specs`, so that no consumer takes old samples."""
        for parameters in self._open.keys() - {spec.parameters for spec in specs}:
            self._open.pop(parameters).close()
