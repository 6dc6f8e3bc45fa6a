"""What an administrator can write into the configuration, and what it says of mistakes."""

import json
import os
import re
import string
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.config.conftest import Write
from webntpd.config import (
    Config,
    ConfigError,
    PeerSpec,
    RefclockSpec,
    load,
    load_to_run,
    notes,
    peer_from,
    server_from,
)
from webntpd.config.document import DEFAULT_LEAP_FILE, Document
from webntpd.config.document import SECTIONS as KEYS
from webntpd.config.faults import REMOVED
from webntpd.exchange.base import ExchangeParameters
from webntpd.exchange.leaplist import LeapSource
from webntpd.names import DEFAULT_CONTROL, DEFAULT_STATE, Kind
from webntpd.ntp.parameters import PeerParameters, SystemParameters
from webntpd.ntp.readings import Smear
from webntpd.refclock.base import ShmParameters, SockParameters
from webntpd.server import Limits, ServerParameters
from webntpd.statistics.files import StatisticsParameters

EXAMPLE = Path(__file__).parents[3] / "etc" / "webntpd.toml"

DEFAULT_LEAP_SOURCE = LeapSource()


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("WEBNTPD_"):
            monkeypatch.delenv(name)


def faults(path: Path, read: Callable[[Path], Config] = load) -> list[str]:
    """The faults, without the file's name that each must begin with."""
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert all(fault.startswith(f"{path}: ") for fault in caught.value.faults)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return [fault.removeprefix(f"{path}: ") for fault in caught.value.faults]


# -- what is right ---------------------------------------------------------------------------


def test_newer_leap_lists_are_kept_where_wanted_or_not_fetched(write: Write) -> None:
    path = write('[leap]\nurl = "http://mirror.example/list"\ncache = "/srv/leap"')
    assert load(path).leap_source == LeapSource("http://mirror.example/list", Path("/srv/leap"))
    assert load(write('[leap]\nurl = ""')).leap_source == LeapSource("")


def test_every_key_of_the_server_reaches_it(write: Write, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.pem"
    certificate.touch()
    path = write(
        f"""
        [server]
        listen = ["systemd", "unix:/run/x"]
        listen_tls = [":443"]
        certificate = "{certificate}"
        key = "{certificate}"
        require_sync = true
        kernel_timestamps = false
        trusted_proxies = ["10.0.0.0/8", "::1", "unix"]
        workers = 4
        connections = 1
        connections_per_address = 2
        requests_per_second = 0.5
        request_burst = 3
        exempt_loopback = false
        header_size = 1024
        request_time = 1.5
        idle_time = 2.5
        """
    )
    assert load(path).server == ServerParameters(
        listen=("systemd", "unix:/run/x"),
        listen_tls=(":443",),
        certificate=certificate,
        key=certificate,
        require_sync=True,
        kernel_timestamps=False,
        trusted_proxies=("10.0.0.0/8", "::1", "unix"),
        workers=4,
        limits=Limits(
            connections=1,
            connections_per_address=2,
            requests_per_second=0.5,
            request_burst=3,
            exempt_loopback=False,
            header_size=1024,
            request_time=1.5,
            idle_time=2.5,
        ),
    )


def test_an_empty_file_gives_the_defaults(write: Write) -> None:
    assert load(write("")) == Config(
        control=DEFAULT_CONTROL, state=DEFAULT_STATE, leap_source=DEFAULT_LEAP_SOURCE
    )


def test_a_peer_needs_no_more_than_a_url(write: Write) -> None:
    url = "wss://time.example.org/"
    (spec,) = load(write(f'[[peer]]\nurl = "{url}"')).peers
    assert spec == PeerSpec(ExchangeParameters(url, Kind.WEBSOCKET), PeerParameters(url))
    assert spec.name == url


def test_every_key_arrives_where_it_belongs(write: Write, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    (tmp_path / "leap").touch()
    config = load(
        write(f"""
            [[peer]]
            url = "https://a.example:8443/api"
            kind = "time-header"
            name = "a"
            minpoll = 3
            maxpoll = 8
            burst = 2
            iburst = 5
            burst_interval = 1
            prefer = true
            noselect = true
            root_delay = 0.25
            root_dispersion = 0.125
            smear = "noon-to-noon"
            timeout = 2.5
            proxy = "http://user:secret@proxy.example:3128"
            ca_file = "{tmp_path}/ca.pem"
            accept_date = true
            allow_unsynchronised = true
            interleaved = false
            kernel_timestamps = false
            [[peer]]
            url = "ws://b.example"
            [[refclock]]
            type = "shm"
            unit = 5
            owners = ["root", "123"]
            [[refclock]]
            type = "sock"
            path = "/run/x.sock"
            peer = "a"
            [system]
            minimum_agreeing = 1
            [server]
            listen = ["127.0.0.1:8080", "[::1]:0", ":80"]
            allow_cross_origin = ["https://www.example.org"]
            local = true
            max_error = 0.001
            [leap]
            file = "{tmp_path}/leap"
            [log]
            level = "debug"
        """)
    )
    assert config.peers[0] == PeerSpec(
        ExchangeParameters(
            "https://a.example:8443/api",
            Kind.TIME_HEADER,
            timeout=2.5,
            proxy="http://user:secret@proxy.example:3128",
            ca_file=tmp_path / "ca.pem",
            accept_date=True,
            allow_unsynchronised=True,
            interleaved=False,
            kernel_timestamps=False,
        ),
        PeerParameters(
            "a",
            minpoll=3,
            maxpoll=8,
            burst=2,
            iburst=5,
            burst_interval=1.0,
            prefer=True,
            noselect=True,
            root_delay=0.25,
            root_dispersion=0.125,
            smear=Smear.NOON_TO_NOON,
        ),
    )
    assert config.peers[1].name == "ws://b.example"
    assert config.refclocks == (
        RefclockSpec(ShmParameters(5, frozenset({0, 123}))),
        RefclockSpec(SockParameters(Path("/run/x.sock")), "a"),
    )
    assert config.system == SystemParameters(minimum_agreeing=1)
    assert config.server == ServerParameters(
        ("127.0.0.1:8080", "[::1]:0", ":80"),
        allow_cross_origin=("https://www.example.org",),
        local=True,
        max_error=0.001,
    )
    assert config.leap_file == tmp_path / "leap"
    assert config.log_level == "debug"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://a", Kind.HTTP),
        ("https://a:1/b", Kind.HTTP),
        ("ws://[::1]:8080/", Kind.WEBSOCKET),
        ("wss://a/b/c", Kind.WEBSOCKET),
    ],
)
def test_the_scheme_says_how_a_peer_is_asked(write: Write, url: str, kind: Kind) -> None:
    (spec,) = load(write(f'[[peer]]\nurl = "{url}"')).peers
    assert spec.exchange.kind is kind


@pytest.mark.parametrize(
    ("url", "keys", "expected"),
    [
        ("ws://a", "", (4, 6)),
        ("http://a", "", (6, 6)),
        ("http://a", "minpoll = 3", (3, 6)),
        ("ws://a", "minpoll = 9", (9, 9)),
        ("http://a", "maxpoll = 5", (5, 5)),
        ("ws://a", "maxpoll = 3", (3, 3)),
        ("ws://a", "maxpoll = 17", (4, 17)),
        ("ws://a", "minpoll = 0\nmaxpoll = 0", (0, 0)),
    ],
)
def test_default_polls_give_way_to_given_ones(
    write: Write, url: str, keys: str, expected: tuple[int, int]
) -> None:
    (spec,) = load(write(f'[[peer]]\nurl = "{url}"\n{keys}')).peers
    assert (spec.peer.minpoll, spec.peer.maxpoll) == expected


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("false", False)])
def test_cross_origin_may_be_a_switch(write: Write, value: str, *, expected: bool) -> None:
    config = load(write(f'[server]\nlisten = [":80"]\nallow_cross_origin = {value}'))
    assert config.server is not None
    assert config.server.allow_cross_origin is expected


def test_without_an_address_there_is_no_server(write: Write) -> None:
    assert load(write("[server]\nlocal = true")).server is None


def test_an_empty_proxy_forbids_one(write: Write) -> None:
    (spec,) = load(write('[[peer]]\nurl = "ws://a"\nproxy = ""')).peers
    assert spec.exchange.proxy == ""


# -- the environment -------------------------------------------------------------------------


def test_the_environment_goes_before_the_file(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBNTPD_LOG__LEVEL", "error")
    monkeypatch.setenv("webntpd_server__listen", '["127.0.0.1:80"]')
    monkeypatch.setenv("WEBNTPD_SERVER__MAX_ERROR", "0.5")
    monkeypatch.setenv("WEBNTPD_CONFIG", "/not/read/by/load")
    path = write('[log]\nlevel = "debug"\n[server]\nlocal = true\nlisten = [":1"]')
    config = load(path)
    assert config.log_level == "error"
    assert config.server == ServerParameters(("127.0.0.1:80",), local=True, max_error=0.5)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEBNTPD_METRICS", '{"listen": "3"}'),
        ("WEBNTPD_METRICS__LISTEN", '"3"'),
    ],
)
def test_a_text_in_the_environment_stays_one(
    write: Write, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match="must be ADDRESS:PORT, not '3'"):
        load(write(""))


def test_a_text_in_a_section_of_the_environment_is_no_switch(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBNTPD_SERVER", '{"local": "true"}')
    with pytest.raises(ConfigError, match="should be a valid boolean, not 'true'"):
        load(write(""))


def test_a_key_of_the_environment_goes_before_its_section(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBNTPD_SERVER", '{"local": true, "listen": [":1"]}')
    monkeypatch.setenv("WEBNTPD_SERVER__LISTEN", '[":2"]')
    assert load(write("")).server == ServerParameters((":2",), local=True)


def test_the_environment_alone_may_configure_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webntpd.config.loading.DEFAULT_CONFIG", Path("/nonexistent/webntpd.toml"))
    monkeypatch.setenv("WEBNTPD_PEER", '[{"url": "ws://a"}, {"url": "ws://b", "minpoll": 5}]')
    monkeypatch.setenv("WEBNTPD_REFCLOCK", '[{"type": "shm"}]')
    config = load_to_run()
    assert [spec.name for spec in config.peers] == ["ws://a", "ws://b"]
    assert config.refclocks == (RefclockSpec(ShmParameters(2)),)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("WEBNTPD_LOG__LEVEL", "loud", "[log]"),
        ("WEBNTPD_LOG__LEVLE", "info", "unknown key; did you mean level?"),
        ("WEBNTPD_LOGG__LEVEL", "info", "unknown; did you mean WEBNTPD_LOG__LEVEL?"),
        ("WEBNTPD_SECTION", "{}", "unknown"),
        ("WEBNTPD_SERVER__LISTEN", "8080", 'must be a list, such as ["127.0.0.1:8080"], not 8080'),
        ("WEBNTPD_PEER", "no json", "should be a valid list, not 'no json'"),
        ("WEBNTPD_PEER", '[{"url": "x"}]', "[[peer]] #1 url: must begin with one of "),
        ("WEBNTPD_SYSTEM__MINIMUM_AGREEING", "many", "should be a valid integer, not 'many'"),
    ],
)
def test_a_fault_in_the_environment_names_the_variable(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, value: str, fault: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        load(write(""))
    (line,) = caught.value.faults
    assert line.startswith(f"environment: {name}: ")
    if fault != "[log]":
        assert fault in line


# -- what is wrong ---------------------------------------------------------------------------

PEER = '[[peer]]\nurl = "ws://a"\n'


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[sever]", "[sever]: unknown section; did you mean [server]?"),
        ('[[peers]]\nurl = "ws://a"', "[peers]: unknown section; did you mean [[peer]]?"),
        ("zzz = 1", "[zzz]: unknown section"),
        ("minpoll = 5", "minpoll: stands above its section: write it below [[peer]]"),
        ("unit = 5", "unit: stands above its section: write it below [[refclock]]"),
        (
            'listen = [":80"]\n[server]',
            "listen: stands above its section: write it below [server] or [metrics]",
        ),
        ("[level]", "[level]: unknown section"),
        (PEER + "level = 1", "[[peer]] #1 level: unknown key here: it belongs in [log]"),
        (
            "[server]\nlisten = [8080]",
            '[server] listen: must be an address in quotes, such as "127.0.0.1:8080", not 8080',
        ),
        (
            "[server]\nlisten_tls = 8443",
            '[server] listen_tls: must be a list, such as ["127.0.0.1:8080"], not 8443',
        ),
        (
            "[metrics]\nlisten = 9976",
            '[metrics] listen: must be an address in quotes, such as "127.0.0.1:8080", not 9976',
        ),
        (
            PEER + "minpoll = 64",
            "[[peer]] #1 minpoll: is a power of two: for 64 s write 6, not 64",
        ),
        (
            '[server]\nlisten = ["::1:8080"]',
            (
                "[server] listen: must be ADDRESS:PORT or [ADDRESS]:PORT for IPv6, not '::1:8080':"
                " did you mean '[::1]:8080'?"
            ),
        ),
        (
            '[[peer]]\nurl = "wss://2001:db8::1/"',
            (
                "[[peer]] #1 url: an IPv6 address stands in brackets, as in ://[::1]:8080/,"
                " not 'wss://2001:db8::1/'"
            ),
        ),
        ('"a\\nb" = 1', "['a\\nb']: unknown section"),
        ('[log]\n"a\\nb" = 1', "[log] 'a\\nb': unknown key"),
        (f"a = {'1' * 5000}", None),
        (f"a = {'[' * 5000}", None),
        (PEER + "minpol = 4", "[[peer]] #1 minpol: unknown key; did you mean minpoll?"),
        (PEER + "zzz = 4", "[[peer]] #1 zzz: unknown key"),
        ("[[peer]]", "[[peer]] #1 url: is missing"),
        ('[peer]\nurl = "ws://a"', "[[peer]]: must be written [[peer]], with two brackets"),
        ("peer = 1", "[[peer]]: should be a valid list, not 1"),
        ("log = 1", "[log]: must be a table, not 1"),
        ("peer = [1]", "[[peer]] #1: must be a table, not 1"),
        (PEER + 'minpoll = "4"', "[[peer]] #1 minpoll: should be a valid integer, not '4'"),
        (PEER + "minpoll = true", "[[peer]] #1 minpoll: should be a valid integer, not True"),
        (PEER + "prefer = 1", "[[peer]] #1 prefer: should be a valid boolean, not 1"),
        (
            PEER + "minpoll = 18",
            "[[peer]] #1 minpoll: should be less than or equal to 17, not 18",
        ),
        (PEER + "timeout = inf", "[[peer]] #1 timeout: should be a finite number, not inf"),
        (PEER + "timeout = 0", "[[peer]] #1 timeout: should be greater than 0, not 0"),
        (
            PEER + "minpoll = 7\nmaxpoll = 6",
            "[[peer]] #1: maxpoll 6 is less than minpoll 7",
        ),
        (
            PEER + 'kind = "time-header"',
            '[[peer]] #1: kind must be "websocket" for ws://a, not "time-header"',
        ),
        (
            PEER + 'ca_file = "/nonexistent"',
            "[[peer]] #1 ca_file: there is no such file: '/nonexistent'",
        ),
        (
            PEER + 'smear = "noon"',
            "[[peer]] #1 smear: should be 'none' or 'noon-to-noon', not 'noon'",
        ),
        (PEER + 'name = ""', "[[peer]] #1 name: must be printable and not empty, not ''"),
        (PEER + 'proxy = "socks5://a"', None),
        (PEER + PEER, "[[peer]] #2 name: another peer has the name 'ws://a'"),
        ("[[refclock]]\nunit = 2", '[[refclock]] #1: type must be "shm" or "sock"'),
        ('[[refclock]]\ntype = "sh"', '[[refclock]] #1: type must be "shm" or "sock"'),
        ('[[refclock]]\ntype = "shm"\npath = "/x"', "[[refclock]] #1 path: unknown key"),
        (
            '[[refclock]]\ntype = "shm"\nunti = 1',
            "[[refclock]] #1 unti: unknown key; did you mean unit?",
        ),
        (
            '[[refclock]]\ntype = "shm"\n[[refclock]]\ntype = "shm"\nunit = 2',
            "[[refclock]] #2 unit: another refclock has the same",
        ),
        (
            '[[refclock]]\ntype = "shm"\nowners = ["0"]\n[[refclock]]\ntype = "shm"',
            "[[refclock]] #2 unit: another refclock has the same",
        ),
        (
            '[[refclock]]\ntype = "shm"\nowners = ["no such user"]',
            "[[refclock]] #1 owners: there is no user 'no such user'",
        ),
        (
            '[[refclock]]\ntype = "sock"\n[[refclock]]\ntype = "sock"',
            "[[refclock]] #2 path: another refclock has the same",
        ),
        (
            '[[refclock]]\ntype = "shm"\npeer = "b"',
            "[[refclock]] #1 peer: no peer has the name 'b'",
        ),
        (
            PEER + '[[peer]]\nurl = "ws://b"\nnoselect = true\n[system]\nminimum_agreeing = 2',
            "[system] minimum_agreeing: asks for 2, but no more than 1 can agree",
        ),
        (
            '[server]\nlisten = ["8080"]',
            "[server] listen: must be ADDRESS:PORT, unix:/PATH or systemd, not '8080'",
        ),
        (
            '[server]\nlisten = ["a:65536"]',
            "[server] listen: must be ADDRESS:PORT, unix:/PATH or systemd, not 'a:65536'",
        ),
        ('[server]\nlisten = ["unix:x"]', None),
        (
            '[metrics]\nlisten = "unix:/run/x"',
            "[metrics] listen: must be ADDRESS:PORT, not 'unix:/run/x'",
        ),
        ('[metrics]\nlisten = "systemd"', "[metrics] listen: must be ADDRESS:PORT, not 'systemd'"),
        ('[leap]\nurl = "ftp://x"', None),
        ('[server]\nlisten_tls = [":443"]', "[server]: listen_tls needs a certificate"),
        (
            '[server]\ntrusted_proxies = ["proxy"]',
            "[server] trusted_proxies: must be an address, a network or \"unix\", not 'proxy'",
        ),
        ("[server]\nrequests_per_second = 0", None),
        (
            '[server]\nlisten = ["a:b:80"]',
            "[server] listen: must be ADDRESS:PORT or [ADDRESS]:PORT for IPv6, not 'a:b:80'",
        ),
        (
            '[server]\nallow_cross_origin = "yes"',
            (
                "[server] allow_cross_origin: should be a valid boolean, not 'yes',"
                " or should be a valid list, not 'yes'"
            ),
        ),
        (
            '[server]\nallow_cross_origin = ["https://a/"]',
            None,
        ),
        (
            '[[refclock]]\ntype = "sock"\npath = "run/x.sock"',
            (
                "[[refclock]] #1 path: must be absolute, without spaces, of at most 107 bytes,"
                " not 'run/x.sock'"
            ),
        ),
        ('[[refclock]]\ntype = "sock"\npath = "/run/x y.sock"', None),
        (f'[[refclock]]\ntype = "sock"\npath = "/{"x" * 107}"', None),
        ("[server]\nmax_error = 0", "[server] max_error: should be greater than 0, not 0"),
        (
            '[leap]\nfile = "/nonexistent"',
            "[leap] file: there is no such file: '/nonexistent'",
        ),
        (
            '[log]\nlevel = "warn"',
            "[log] level: should be 'debug', 'info', 'warning' or 'error', not 'warn'",
        ),
        ("\n a = x", "line 2 column 6: Invalid value: a text must stand in quotes"),
        (
            '[log]\nlevel = "info\n',
            "line 2 column 14: Illegal character '\\n': the closing quotation mark is missing",
        ),
        (
            "[log]\n\n[state]\nfile = ''\nfile = ''\n",
            "line 5 column 10: Cannot overwrite a value: the key or section stands twice",
        ),
        ('a = "', "end of document: Unterminated string"),
    ],
)
def test_a_fault_is_one_line_with_key_and_reason(
    write: Write, text: str, fault: str | None
) -> None:
    (line,) = faults(write(text))
    if fault is not None:
        assert line == fault


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://a", "must begin with one of http://, https://, ws://, wss://"),
        ("a.example", "must begin with one of"),
        ("", "must begin with one of"),
        ("http://", "names no host"),
        ("http:///path", "names no host"),
        ("http://a:99999", "Port out of range"),
        ("http://a:x", "Port could not be cast"),
        ("http://a:0", "port 0"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://999.1.1.1", "Invalid IPv4 address"),
        ("http://xn--", "Malformed A-label"),
        ("http://user@a", "must not hold a user name or password"),
        ("http://a/?t=1", "must not hold a query"),
        ("http://a/?", "must not hold a query"),
        ("http://a/#x", "must not hold a query or a fragment"),
        ("http://a b", "only printable ASCII"),
        ("http://\\u00fc", "only printable ASCII"),
        ("http://a/\\n", "only printable ASCII"),
    ],
)
def test_a_bad_url_is_refused_with_the_reason(write: Write, url: str, reason: str) -> None:
    (line,) = faults(write(f'[[peer]]\nurl = "{url}"'))
    assert line.startswith("[[peer]] #1 url: ")
    assert reason in line


def test_every_fault_of_a_file_is_told_at_once(write: Write) -> None:
    path = write('[[peer]]\nurl = "x"\nminpoll = -1\n[log]\nlevel = 3\nlevle = 4\n[x]')
    assert [line.partition(": ")[0] for line in faults(path)] == [
        "[[peer]] #1 url",
        "[[peer]] #1 minpoll",
        "[log] level",
        "[log] levle",
        "[x]",
    ]


def test_a_long_value_does_not_make_a_long_line(write: Write) -> None:
    (line,) = faults(write(f'{PEER}minpoll = "{"4" * 10_000}"'))
    assert len(line) < 200


def test_a_file_that_was_asked_for_must_exist(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.toml") == ["there is no such file"]
    assert faults(tmp_path) == ["is a directory, and must be a file"]
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert faults(fifo) == ["is no regular file"]


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    path = tmp_path / "webntpd.toml"
    path.write_text("[log]\n", encoding="utf-8-sig")
    assert faults(path) == ["begins with a byte order mark: save it as UTF-8 without one"]
    path.write_text("[log]\n", encoding="utf-16")
    assert faults(path) == ["is UTF-16: save it as UTF-8"]


def test_a_key_that_went_has_its_advice(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = {("peer", "key"): "write xyz instead", ("shm", "old"): "nothing takes its place"}
    monkeypatch.setattr("webntpd.config.faults.REMOVED", removed)
    text = PEER + 'key = 1\n[[refclock]]\ntype = "shm"\nold = 1'
    assert faults(write(text)) == [
        "[[peer]] #1 key: this key was removed: write xyz instead",
        "[[refclock]] #1 old: this key was removed: nothing takes its place",
    ]


def test_no_key_that_there_is_counts_as_gone() -> None:
    assert not [owner for owner, name in REMOVED if name in KEYS[owner].model_fields]


@pytest.mark.parametrize(
    ("rest", "noted"),
    [
        ("", True),
        ('[[peer]]\nurl = "ws://b"', False),
        ('peer = "ws://a"', False),
    ],
)
def test_peers_that_all_have_noselect_are_noted(write: Write, rest: str, noted: bool) -> None:
    text = f'{PEER}noselect = true\n[[refclock]]\ntype = "shm"\n{rest}'
    note = (
        "[[peer]] noselect: all peers have it, so nothing is published:"
        " remove it from the peers to follow"
    )
    assert list(notes(load(write(text)))) == ([note] if noted else [])


def test_a_file_that_cannot_be_read_says_why(write: Write) -> None:
    path = write("")
    path.write_bytes(b"# \xff\n")
    assert faults(path) == ["byte 2: not UTF-8"]


def test_a_file_without_permission_says_so(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    # A test that runs as root is refused nothing, so the refusal is made here.
    monkeypatch.setattr(tomllib, "load", refuse)
    assert faults(path) == ["Permission denied"]


def test_a_daemon_without_peers_is_told_what_to_do(write: Write) -> None:
    (line,) = faults(write(""), load_to_run)
    assert line.startswith("[[peer]]: there is none: add one, e.g. url = ")


def test_a_daemon_that_would_feed_nobody_is_told_what_to_do(write: Write) -> None:
    (line,) = faults(write(PEER), load_to_run)
    assert line.startswith("[[refclock]]: no consumer would be fed: add one, e.g. type = ")


@pytest.mark.parametrize(
    "text",
    [
        '[server]\nlisten = [":80"]',
        PEER + '[server]\nlisten = [":80"]',
        PEER + '[[refclock]]\ntype = "shm"',
    ],
)
def test_a_daemon_with_something_to_do_may_run(write: Write, text: str) -> None:
    path = write(text)
    assert load_to_run(path) == load(path)


SCALARS = st.one_of(st.booleans(), st.integers(), st.floats(), st.text(string.printable))
VALUES = st.recursive(SCALARS, lambda each: st.lists(each, max_size=3), max_leaves=4)
SECTIONS_OF_ANYTHING = st.dictionaries(
    st.sampled_from([*Document.model_fields, "x"]),
    st.one_of(
        VALUES,
        st.dictionaries(
            st.sampled_from(sorted({key for model in KEYS.values() for key in model.model_fields})),
            VALUES,
            max_size=4,
        ),
    ),
    max_size=4,
)


def toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(toml, value)) + "]"
        case float():
            return str(value)
    return json.dumps(value)


@given(SECTIONS_OF_ANYTHING)
def test_whatever_is_written_is_a_configuration_or_a_list_of_faults(
    tmp_path_factory: pytest.TempPathFactory, sections: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "anything.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in sections.items()))
    found = None
    try:
        load(path)
    except ConfigError as error:
        found = error.faults
    assert found is None or (found and all(fault.startswith(f"{path}: ") for fault in found))
    assert all(fault.isprintable() for fault in found or [])


# -- from a command line ---------------------------------------------------------------------


def test_a_peer_can_be_made_of_single_keys() -> None:
    spec = peer_from({"url": "http://a", "kind": Kind.TIME_HEADER, "proxy": None})
    assert spec.exchange == ExchangeParameters("http://a", Kind.TIME_HEADER)


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"url": "x"}, "url: must begin with one of "),
        ({"url": "ws://a", "timeout": -1.0}, "timeout: should be greater than 0, not -1.0"),
        ({"url": "ws://a", "kind": Kind.HTTP}, 'kind must be "websocket" for ws://a, not "http"'),
    ],
)
def test_a_fault_in_a_single_key_names_no_file(keys: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        peer_from(keys)
    (line,) = caught.value.faults
    assert line.startswith(fault)


def test_a_server_can_be_made_of_single_keys() -> None:
    assert server_from({"listen": [":80"], "local": True}) == ServerParameters((":80",), local=True)


# -- the file that is installed --------------------------------------------------------------


def test_the_installed_file_is_safe_as_it_is() -> None:
    config = load(EXAMPLE)
    assert config == Config(
        refclocks=(RefclockSpec(ShmParameters(2)),),
        control=DEFAULT_CONTROL,
        state=DEFAULT_STATE,
        leap_source=DEFAULT_LEAP_SOURCE,
    )


def uncommented() -> dict[str, Any]:
    """The installed file with every default in force."""
    text = EXAMPLE.read_text()
    return tomllib.loads(re.sub(r"^#(?=\[\[|[a-z_]+ = )", "", text, flags=re.MULTILINE))


TABLES = ("system", "server", "leap", "state", "statistics", "metrics", "control", "log")


def test_the_installed_file_shows_every_key() -> None:
    document = uncommented()
    assert set(document) == set(Document.model_fields)
    shown = {"peer": set(document["peer"][0])}
    shown |= {table["type"]: set(table) for table in document["refclock"]}
    shown |= {name: set(document[name]) for name in TABLES}
    assert shown == {name: set(model.model_fields) for name, model in KEYS.items()}


def test_the_installed_file_shows_the_defaults() -> None:
    document = uncommented()
    tables = {"peer": document["peer"][0]}
    tables |= {table["type"]: table for table in document["refclock"]}
    tables |= {name: document[name] for name in TABLES}
    for name, table in tables.items():
        for key, field in KEYS[name].model_fields.items():
            if not field.is_required() and field.default is not None:
                shown = table[key]
                assert type(field.default)(shown) == field.default, f"{name}.{key}"


def test_the_installed_file_shows_the_defaults_that_depend_on_the_url(write: Write) -> None:
    shown = uncommented()["peer"][0]
    (spec,) = load(write(f'[[peer]]\nurl = "{shown["url"]}"')).peers
    assert shown["name"] == spec.name
    assert shown["kind"] == spec.exchange.kind
    assert (shown["minpoll"], shown["maxpoll"]) == (spec.peer.minpoll, spec.peer.maxpoll)


def test_the_default_leap_file_may_be_missing(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "is_file", lambda self: self != DEFAULT_LEAP_FILE)
    assert load(write("")).leap_file == DEFAULT_LEAP_FILE


def test_statistics_are_off_until_there_is_a_directory(write: Write) -> None:
    assert load(write("[statistics]\ndays = 7")).statistics is None
    config = load(write('[statistics]\ndirectory = "/var/log/webntpd"\ndays = 7'))
    assert config.statistics == StatisticsParameters(Path("/var/log/webntpd"), 7)


def test_the_state_is_kept_where_wanted_or_nowhere(write: Write) -> None:
    assert load(write('[state]\nfile = "/srv/state"')).state == Path("/srv/state")
    assert load(write('[state]\nfile = ""')).state is None
    assert Config().state is None


def test_metrics_are_off_until_there_is_an_address_and_shown_on_loopback(write: Write) -> None:
    assert load(write("[metrics]")).metrics is None
    shown = uncommented()["metrics"]["listen"]
    assert load(write(f'[metrics]\nlisten = "{shown}"')).metrics == shown
    assert shown.startswith("127.0.0.1:")


def test_without_a_path_there_is_no_control_socket(write: Write) -> None:
    assert load(write('[control]\nsocket = ""')).control is None
    assert load(write('[control]\nsocket = "/run/x"')).control == Path("/run/x")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[statistics]\ndirectory = "relative"', "directory: must be absolute"),
        ("[statistics]\ndays = 0", "days: should be greater than or equal to 1"),
        ('[control]\nsocket = "relative"', "socket: must be absolute"),
        ('[state]\nfile = "state"', "file: must be absolute, not 'state'"),
        (f'[control]\nsocket = "/{"x" * 107}"', "of at most 107 bytes"),
    ],
)
def test_a_path_that_cannot_be_is_a_fault(write: Write, text: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)):
        load(write(text))


def test_the_variable_of_the_logs_form_is_no_key(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBNTPD_LOG_FORMAT", "json")
    assert load(write("")).log_level == "info"


@pytest.mark.parametrize(
    "proxy",
    [
        "http://u:secret@xn--",
        "ftp://u:secret@h/",
        "http://u:secret@h:99999",
        "http://u:secret/x@h:3128",
        "http://u:12/secret@h:3128",
        "http://u:secret#x@h:3128",
        "http://u:12#secret@h:3128",
        "http://u:secret?x@h:3128",
        "http://u:12?secret@h:3128",
        "http://u:secret",
        "http://u:secret x@h",
        "http://u:secr\u00e9tsecret@h",
        "socks5://u:secret@h:1080",
        "http://@",
        ["http://u:secret@h:3128"],
    ],
)
def test_a_proxys_password_is_not_shown_in_the_fault(proxy: str) -> None:
    with pytest.raises(ConfigError) as fault:
        peer_from({"url": "https://time.example/", "proxy": proxy})
    assert "secret" not in str(fault.value)
    assert str(fault.value).startswith("proxy: ")


@pytest.mark.parametrize(
    ("proxy", "remedy"),
    [
        ("http://u:pass/word@h:3128", "/ is written %2F"),
        ("http://u:pass#word@h:3128", "# %23"),
        ("http://u:pass?word@h:3128", "? %3F"),
        ("http://u:pass@h:99999", "...@h:99999"),
        ("socks5h://h:1080", "SOCKS is not supported"),
        ("http://h/proxy.pac", "a PAC file is not supported"),
        ("pac+http://h/wpad", "a PAC file is not supported"),
    ],
)
def test_the_fault_of_a_proxy_names_the_remedy(proxy: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(remedy)):
        peer_from({"url": "https://time.example/", "proxy": proxy})


def test_no_fault_of_another_key_shows_a_proxys_password(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEBNTPD_PEER", '[{"proxy": "http://u:secret@h"')
    with pytest.raises(ConfigError) as fault:
        load(write(""))
    assert "secret" not in str(fault.value)
