"""The configuration: a TOML file and the environment, made into frozen parameter objects."""

from webntpd.config.faults import ConfigError
from webntpd.config.loading import load, load_to_run, notes, peer_from, server_from
from webntpd.config.parameters import Config, PeerSpec, RefclockSpec

__all__ = [
    "Config",
    "ConfigError",
    "PeerSpec",
    "RefclockSpec",
    "load",
    "load_to_run",
    "notes",
    "peer_from",
    "server_from",
]
