"""`webntp` takes the reference's flags and prints its lines."""

import re
import socket
from collections.abc import Iterator
from datetime import timedelta, timezone

import pytest

from tests.unit.test_cli import announced_address, webntpd
from webntpd import __version__
from webntpd.clock import SystemClock
from webntpd.compat import as_go_reads, ask_and_publish, go_time, main, make_parser
from webntpd.config import peer_from
from webntpd.ntp.types import Publication
from webntpd.status import RefclockStatus

SHIFT = 3.0
LINE = re.compile(r"server (\S+), offset (-?\d+\.\d{6}), delay (\d+\.\d{6})")
LAST = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,9} [+-]\d{4} \S+, server (\S+), offset (\S+)"
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server that is SHIFT s ahead."""
    with webntpd("serve", "127.0.0.1:0", "--local", "--clock-shift", str(SHIFT)) as process:
        yield announced_address(process)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where connections are refused."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield "{}:{}".format(*taken.getsockname())


class RecordingRefclock:
    status = RefclockStatus("recorded")

    def __init__(self) -> None:
        self.published: list[Publication] = []

    def open(self) -> None: ...

    def publish(self, publication: Publication) -> None:
        self.published.append(publication)

    def close(self) -> None: ...


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_flags_have_one_dash_or_two_and_values_either_form(dashes: str) -> None:
    words = f"{dashes}p=2 {dashes}shm 3 {dashes}allow-cross-origin {dashes}serve=:80 http://a/ b"
    arguments = make_parser().parse_args(as_go_reads(words.split()))
    assert (arguments.p, arguments.shm, arguments.serve) == (2, 3, ":80")
    assert arguments.allow_cross_origin is True
    assert arguments.urls == ["http://a/", "b"]


def test_what_is_not_given_is_as_in_the_reference() -> None:
    arguments = make_parser().parse_args([])
    assert (arguments.p, arguments.shm, arguments.serve) == (4, None, "")
    assert arguments.allow_cross_origin is False


@pytest.mark.parametrize(
    "words", [["-p", "9"], ["-p", "0"], ["-allow-cross-origin=maybe"], ["-nonsense"], ["-s", "x"]]
)
def test_wrong_flags_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "webntp: error" in capsys.readouterr().err


def test_the_version_and_the_help_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for word in ("-version", "--help"):
        with pytest.raises(SystemExit) as exit_:
            main([word])
        assert exit_.value.code == 0
    printed = capsys.readouterr().out
    assert __version__ in printed
    assert "-leap-second-path" in printed


def test_a_line_for_each_server_and_a_last_one_for_the_nearest(
    server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [f"http://{server}/", f"ws://{server}/"]
    assert main(["-p", "2", *urls]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    assert [match and match[1] for match in found] == urls
    nearest = min((match for match in found if match), key=lambda match: float(match[3]))
    final = LAST.fullmatch(last)
    assert final is not None
    assert (final[1], final[2]) == (nearest[1], nearest[2])
    assert abs(float(final[2]) - SHIFT) < 0.1


def test_who_does_not_answer_is_named_on_the_error_output(
    nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-p", "1", f"http://{nobody}/"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"server http://{nobody}/, error connect: ")


def test_a_url_that_is_none_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ftp://a/"]) == 1
    assert "webntp: " in capsys.readouterr().err


async def test_a_round_publishes_what_the_servers_say(server: str) -> None:
    refclock = RecordingRefclock()
    await ask_and_publish([peer_from({"url": f"ws://{server}/"})], 1, SystemClock(), refclock)
    (publication,) = refclock.published
    assert abs(publication.offset - SHIFT) <= publication.error


async def test_a_round_without_an_answer_publishes_nothing(nobody: str) -> None:
    refclock = RecordingRefclock()
    await ask_and_publish([peer_from({"url": f"ws://{nobody}/"})], 1, SystemClock(), refclock)
    assert refclock.published == []


@pytest.mark.parametrize(
    ("nanoseconds", "fraction"), [(905049427, ".905049427"), (500_000_000, ".5"), (0, "")]
)
def test_times_are_printed_as_go_prints_them(nanoseconds: int, fraction: str) -> None:
    japan = timezone(timedelta(hours=9), "JST")
    at_ns = 1_489_224_310 * 1_000_000_000 + nanoseconds
    assert go_time(at_ns, japan) == f"2017-03-11 18:25:10{fraction} +0900 JST"
