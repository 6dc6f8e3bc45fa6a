"""The embedded WebNTP server: the machine's own time for others, over HTTP and WebSocket."""

from webntpd.server.parameters import ServerError, ServerParameters

__all__ = ["ServerError", "ServerParameters"]
