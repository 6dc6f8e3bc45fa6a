"""The embedded WebNTP server: the machine's own time for others, over HTTP and WebSocket.

From the outside in: service (the task), listeners, reactor (epoll), channel (one socket),
connection (one conversation, free of I/O), http and websocket (what is said in it), timesource
(what every reply says of the time).
"""

from webntpd.server.counters import Counters
from webntpd.server.parameters import Limits, ServerError, ServerParameters
from webntpd.server.server import check_server
from webntpd.server.service import serve

__all__ = ["Counters", "Limits", "ServerError", "ServerParameters", "check_server", "serve"]
