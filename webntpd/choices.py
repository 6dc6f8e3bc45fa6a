"""The words that a configuration and a command line choose from."""

from enum import StrEnum


class Kind(StrEnum):
    """The ways to ask a server for its time."""

    HTTP = "http"  # GET, JSON
    WEBSOCKET = "websocket"  # JSON messages on one connection
    TIME_HEADER = "time-header"  # Time over HTTPS: HEAD, X-HTTPSTIME


class LogFormat(StrEnum):
    """The forms of log lines."""

    AUTO = "auto"  # the journal's own where it reads them, else text
    TEXT = "text"
    JSON = "json"


class Consumer(StrEnum):
    """The programs that discipline the clock by what they read from a refclock."""

    CHRONY = "chrony"
    NTPSEC = "ntpsec"
    NTPD = "ntpd"
    NTPD_RS = "ntpd-rs"
