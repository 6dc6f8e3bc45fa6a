"""Counts the samples of an output, and logs its changes of state."""

import logging
from dataclasses import replace

from webntpd.ntp.estimates import Publication
from webntpd.ntp.readings import NS_PER_S
from webntpd.status.snapshot import RefclockStatus

NOT_CONSUMED = "not consumed"
LOOK_NS = 2 * NS_PER_S
"""Consumers look once a second. Nothing is known of a sample that was replaced sooner than this,
ns: two peers may well end their polls together."""

logger = logging.getLogger(__name__)


class SampleCounts:
    """The counts behind a refclock's status. A problem is logged when it comes and when it goes."""

    def __init__(self, name: str) -> None:
        self.status = RefclockStatus(name)
        self._warned_unread = False
        self._extra = {"fields": {"refclock": name}}

    def repeats(self, publication: Publication) -> bool:
        """Whether a sample of the same receive time is out already: no consumer wants it twice."""
        last = self.status.last
        return last is not None and last.receive_ns == publication.receive_ns

    def succeeded(self, publication: Publication, *, unread: bool | None = None) -> None:
        """The sample is out; `unread` says whether the one before it was still waiting.

        None is for an output that cannot tell.
        """
        before = self.status
        if before.last is not None and publication.receive_ns - before.last.receive_ns < LOOK_NS:
            unread = None
        if before.problem not in (None, NOT_CONSUMED):
            logger.info("%s: publishing again", before.name, extra=self._extra)
        if unread and not self._warned_unread:
            # Once only: a consumer that reads more seldom than we publish would flood the log.
            self._warned_unread = True
            logger.warning(
                "%s: a sample was not consumed: is a consumer reading it?",
                before.name,
                extra=self._extra,
            )
        self.status = replace(
            before,
            published=before.published + 1,
            not_consumed=before.not_consumed + bool(unread),
            problem=NOT_CONSUMED if unread else None,
            last=publication,
            consumed=None if unread is None or before.last is None else not unread,
        )

    def unusable(self, problem: str) -> None:
        """No sample can be published, because of `problem`."""
        if problem != self.status.problem:
            logger.warning("%s: %s", self.status.name, problem, extra=self._extra)
        self.status = replace(self.status, problem=problem)

    def failed(self, problem: str) -> None:
        """The sample was lost, because of `problem`."""
        self.unusable(problem)
        self.status = replace(self.status, failures=self.status.failures + 1)
