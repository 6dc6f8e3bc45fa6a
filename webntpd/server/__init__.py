"""The embedded WebNTP server: it tells the machine's own time over HTTP and WebSocket.

From the outside in: service (the task), reactor (epoll), channel (one socket), connection (one
conversation, free of I/O), http and websocket (its protocols), timesource (the time in each reply).
"""

from webntpd.server.counters import Counters
from webntpd.server.parameters import Limits, ServerError, ServerParameters
from webntpd.server.server import check_server
from webntpd.server.service import serve

__all__ = ["Counters", "Limits", "ServerError", "ServerParameters", "check_server", "serve"]
