"""The one way to say that an exchange gives no reading.

Protocol and exchange raise it alike, so that log, status and metrics show the same names.
"""

from collections.abc import Sequence

from webntpd.ntp.readings import Failure, Reading, Rejection

MAX_DETAIL = 300
"""Most characters of a detail."""


class Rejected(Exception):  # noqa: N818  # not an error of the program: a verdict on a server
    """An exchange that failed, with its named reason.

    `detail` explains it to people and may quote the server. `retry_after` is the server's
    Retry-After in seconds. `readings` are of exchanges that were complete before this one failed,
    oldest first.
    """

    def __init__(
        self,
        rejection: Rejection,
        detail: str,
        *,
        retry_after: float | None = None,
        readings: Sequence[Reading] = (),
    ) -> None:
        self.failure = Failure(rejection, one_line(detail), retry_after)
        self.readings = tuple(readings)
        super().__init__(f"{rejection}: {self.failure.detail}")

    @property
    def rejection(self) -> Rejection:
        return self.failure.rejection

    @property
    def detail(self) -> str:
        return self.failure.detail

    @property
    def retry_after(self) -> float | None:
        return self.failure.retry_after


def one_line(text: str) -> str:
    """`text` on one line of at most MAX_DETAIL characters, so that no server forges log lines.

    Control characters become escapes.
    """
    shown = text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]}..."
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in shown)
