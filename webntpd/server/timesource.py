"""The time, and the facts that every reply tells with it.

Most of a reply stays the same for a second: the leap notice, the state of the clock, the Date
header. These are looked up once a second, at the first requests of a new second. Only the
timestamps are made for each reply.
"""

from collections.abc import Callable
from email.utils import formatdate

from webntpd.clock.adjtime import ClockState
from webntpd.clock.clocks import Clock
from webntpd.leap.list import LeapList
from webntpd.ntp.readings import NS_PER_S
from webntpd.protocol.wire import ReplyTemplate
from webntpd.server.template import SecondTemplate, text_head

_MAX_TEMPLATES = 256
"""Most hosts with a template of their own. Clients choose the host, so the number is bounded."""


class TimeSource:
    """The clock, and the facts of the second that was looked up last.

    `date` is the value of the Date header in `second`. `messages` has the templates of that second
    that message() has made. `withheld` says that the clock is not synchronised, so that no reply
    tells the time.
    """

    def __init__(
        self,
        clock: Clock,
        leap: Callable[[], LeapList | None],
        state: Callable[[], ClockState],
        *,
        require_sync: bool = False,
    ) -> None:
        self.now_ns = clock.realtime_ns
        self.second = -1  # none yet
        self.date = ""
        self._leap = leap
        self._state = state
        self.withheld = False
        self._require_sync = require_sync
        self._templates: dict[str, ReplyTemplate] = {}
        self.messages: dict[str, SecondTemplate] = {}
        self.refresh(clock.realtime_ns())

    def refresh(self, now_ns: int) -> bool:
        """Look everything up if a new second has begun; return whether one has."""
        second = now_ns // NS_PER_S
        if second == self.second:
            return False
        self.second = second
        self.date = formatdate(second, usegmt=True)
        leap_list = self._leap()
        self._notice = None if leap_list is None else leap_list.notice(now_ns)
        self.state = self._state()
        self.withheld = self._require_sync and not self.state.synchronised
        self._templates.clear()
        self.messages.clear()
        return True

    def template(self, host: str) -> ReplyTemplate:
        """The reply to a client that calls us by that host, as of the last refresh."""
        template = self._templates.get(host)
        if template is None:
            template = ReplyTemplate(
                host,
                self._notice,
                sync=self.state.synchronised,
                max_error=self.state.max_error,
            )
            if len(self._templates) < _MAX_TEMPLATES:
                self._templates[host] = template
        return template

    def message(self, host: str) -> SecondTemplate:
        """The template of the same reply as a WebSocket message."""
        message = self.messages.get(host)
        if message is None:
            message = SecondTemplate(self.template(host), self.second, text_head)
            if len(self.messages) < _MAX_TEMPLATES:
                self.messages[host] = message
        return message
