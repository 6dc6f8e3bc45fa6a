"""The reverse proxies of docs/operations.md, each in front of a server as it is described there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import world
from tests.docs.machine import Machine
from tests.docs.markdown import Document
from tests.system.harness import ROOT, eventually, require, sandbox

pytestmark = pytest.mark.system

BLOCKS = Document(ROOT / "docs/operations.md").blocks
NGINX = "events {}\nhttp {\naccess_log off;\n%s\n}\n"
CADDY = "{\n    admin off\n    auto_https disable_redirects\n}\n%s"
SHARE = 40
"""Requests that a client may send at once, and no more."""
CLIENTS = ("198.51.100.1", "198.51.100.2")
ADDRESS = "ip address add %s/32 dev lo\n"


def block(kind: str) -> str:
    (found,) = (each.text for each in BLOCKS if each.kind == kind)
    return found


def server() -> str:
    """The server's part, with a limit that one client of many would notice."""
    (found,) = (each.text for each in BLOCKS if "trusted_proxies" in each.text)
    return f"{found}local = true\nrequest_burst = {SHARE}\nrequests_per_second = 0.001\n"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with sandbox(tmp_path) as made:
        machine = Machine(made)
        world.install_names(machine)
        machine.write("/tmp/server.toml", server())
        machine.must("".join(ADDRESS % address for address in CLIENTS))
        machine.must("webntpd run --config /tmp/server.toml")
        yield machine


ASK = "curl --silent --write-out '%{{http_code}} ' --output /dev/null {} 'https://time.example.org/[1-{}]'"
PROXIES = {
    "nginx": (NGINX, ("nginx", "-c", "/tmp/proxy", "-g", "daemon off;")),
    "haproxy": ("%s", ("haproxy", "-db", "-f", "/tmp/proxy")),
    "caddyfile": (CADDY, ("caddy", "run", "--adapter", "caddyfile", "--config", "/tmp/proxy")),
}


@pytest.mark.parametrize("kind", PROXIES)
def test_both_kinds_of_client_pass_and_are_told_apart(machine: Machine, kind: str) -> None:
    frame, (program, *arguments) = PROXIES[kind]
    machine.write("/tmp/proxy", frame.replace("%s", block(kind)))
    machine.start(require(program), *arguments)
    health = "curl --silent --output /dev/null https://time.example.org/healthz"
    eventually(lambda: machine.attempt(health).returncode == 0, f"{program} answers")
    machine.must("webntpd query -p 2 https://time.example.org/")
    stamps = machine.must("webntpd query -p 2 wss://time.example.org/")
    assert "interleaved" in stamps
    # Each has a share of its own: where one has used it up, the other is served all the same.
    first, second = (f"--interface {address}" for address in CLIENTS)
    assert machine.must(ASK.format(first, SHARE + 1)).split() == [*["200"] * SHARE, "429"]
    assert machine.must(ASK.format(second, 1)).split() == ["200"]
