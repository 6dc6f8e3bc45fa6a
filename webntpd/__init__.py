"""webntpd: keep the clock right over HTTP and WebSocket where NTP's UDP port is closed."""

__version__ = "0.2.0"
