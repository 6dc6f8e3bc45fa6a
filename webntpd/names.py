"""Names that several rooms share: paths on the machine, and the words that a key can hold.

Every command imports this module, so it imports next to nothing.
"""

from enum import StrEnum
from pathlib import Path

CONFIG_VARIABLE = "WEBNTPD_CONFIG"
"""Names the configuration; every variable with the prefix and "__" is a key of it."""
LOG_FORMAT_VARIABLE = "WEBNTPD_LOG_FORMAT"
"""Says how to write log lines where --log-format does not; worker processes inherit it."""
DEFAULT_CONFIG = Path("/etc/webntpd.toml")

CONTROL_VARIABLE = "WEBNTPD_CONTROL__SOCKET"
"""The configuration's key `socket` in [control], as the environment has it."""
DEFAULT_CONTROL = Path("/run/webntpd/control.sock")

DEFAULT_STATE = Path("/var/lib/webntpd/state")
"""Where the daemon keeps the oscillator's frequency from one run to the next."""

DEFAULT_STATISTICS = Path("/var/log/webntpd")
"""A directory that the service may write to. Statistics are off until a directory is configured."""


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
