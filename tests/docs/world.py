"""The world of the documents: the servers that they name, the daemon and chrony, all running."""

import json

import trustme

from tests.docs.machine import AUTHORITIES, Machine
from tests.system.harness import eventually, require

SERVERS = ("time.example.org", "time.example.net", "time.example.com")
CERTIFICATE = "/etc/webntpd/certificate.pem"
HOSTS = "127.0.0.1 localhost " + " ".join(SERVERS)
SERVER = f"""
[server]
listen = ["0.0.0.0:80"]
listen_tls = ["0.0.0.0:443"]
certificate = "{CERTIFICATE}"
local = true
max_error = 0.001
[control]
socket = "/run/webntpd-server/control.sock"
"""
PEERS = ("wss://time.example.org/", "wss://time.example.net/", "https://time.example.com/")
PEER = """
[[peer]]
url = "{url}"
minpoll = 2
maxpoll = 2
burst_interval = 0.1
"""
AGREEING = {"system_peer", "survivor", "outlier"}
OTHERS = """
[[refclock]]
type = "shm"
[statistics]
directory = "/var/log/webntpd"
[metrics]
listen = "127.0.0.1:9976"
"""
CHRONY = "cmdport 323\nport 0\nbindcmdaddress 127.0.0.1\npidfile /run/chronyd.pid\n"


def install_names(machine: Machine) -> None:
    """Make the documents' servers names of the machine itself, with a certificate."""
    authority = trustme.CA()
    certificate = authority.issue_cert(*SERVERS)
    machine.write("/etc/hosts", HOSTS)
    machine.write(AUTHORITIES, authority.cert_pem.bytes().decode())
    machine.write(CERTIFICATE, certificate.private_key_and_cert_chain_pem.bytes().decode())


def bring_up(machine: Machine) -> None:
    """Start everything, and wait until the daemon has a time and chrony takes it."""
    chronyd = require("chronyd")
    install_names(machine)
    machine.write("/etc/world.toml", SERVER)
    machine.must("webntpd run --config /etc/world.toml")
    peers = "".join(PEER.format(url=url) for url in PEERS)
    machine.write("/etc/webntpd.toml", peers + OTHERS)
    machine.must("webntpd run")
    lines = machine.must("webntpd consumer-config chrony")
    # It looks more often, to miss as little as it can.
    machine.write("/etc/chrony/world.conf", CHRONY + lines.replace("dpoll 0", "dpoll -4"))
    machine.start(chronyd, "-x", "-d", "-u", "root", "-f", "/etc/chrony/world.conf")
    eventually(lambda: settled(machine), "all peers agree, and chrony reads")


def settled(machine: Machine) -> bool:
    """Whether nothing of a start is left to be seen."""
    status = json.loads(machine.must("webntpd status --json"))
    tallies = {peer["tally"] for peer in status["peers"]}
    (refclock,) = status["refclocks"]
    return bool(len(status["peers"]) == len(PEERS) and tallies <= AGREEING and refclock["consumed"])
