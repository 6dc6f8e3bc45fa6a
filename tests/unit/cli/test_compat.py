"""`webntp` takes the reference's flags and prints its lines."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from tests.unit.builders import estimate, track
from tests.unit.cli.test_main import announced_address, webntpd
from webntpd import __version__
from webntpd.cli.compat import (
    as_go_reads,
    feed,
    go_time,
    main,
    make_parser,
    show,
    survey_and_publish,
)
from webntpd.cli.survey import Finding, Survey
from webntpd.clock.clocks import SystemClock
from webntpd.config import PeerSpec, peer_from
from webntpd.ntp.estimates import Publication
from webntpd.status.snapshot import RefclockStatus

SHIFT = 3.0
AT = 1_489_224_310 * 1_000_000_000  # 2017-03-11 09:25:10 UTC
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


def test_numbers_are_written_as_for_go() -> None:
    arguments = make_parser().parse_args(["-p", "0b11", "-shm", "0x2"])
    assert (arguments.p, arguments.shm) == (3, 2)


def test_only_a_flag_is_a_switch_and_takes_a_value_after_an_equals_sign() -> None:
    words = ["-leap-second-path", "help", "-version=false", "--allow-cross-origin=0", "http://a/"]
    arguments = make_parser().parse_args(as_go_reads(words))
    assert str(arguments.leap_second_path) == "help"
    assert (arguments.version, arguments.help, arguments.allow_cross_origin) == (False,) * 3


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "four"],
        ["-allow-cross-origin=maybe"],
        ["-nonsense"],
        ["-s", "x"],
        ["-shm", "-1"],
        ["-shm=256"],
    ],
    ids=str,
)
def test_wrong_flags_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == 2
    assert "webntp: error" in capsys.readouterr().err


@pytest.mark.parametrize("samples", [0, 9])
@pytest.mark.parametrize("shm", [[], ["-shm", "2"]])
def test_a_number_of_samples_that_cannot_be_ends_with_1(
    samples: int, shm: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-p", str(samples), *shm, "http://a/"]) == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", f"webntp: invalid samples: {samples}\n")


@pytest.mark.parametrize("words", [["-help"], ["--help"], ["-h"], [], ["-shm", "2"], ["-p", "9"]])
def test_the_help_is_printed_on_request_and_where_there_is_nothing_to_do(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 0
    assert "-leap-second-path" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["-version", "--version"])
def test_the_version_is_printed(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out == f"webntp version {__version__} (webntpd)\n"


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


def test_who_does_not_answer_is_named_and_no_time_is_told(
    nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-p", "1", f"http://{nobody}/"]) == 1
    assert re.fullmatch(rf"http://{nobody}/: Error connect: .*\n", capsys.readouterr().out)


def test_one_that_fails_does_not_keep_the_others_from_being_asked(
    server: str, nobody: str, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = ["ftp://a/", f"ws://{nobody}/", f"ws://{server}/"]
    assert main(["-p", "1", *urls]) == 0
    first, second, third, last = capsys.readouterr().out.splitlines()
    assert first.startswith("ftp://a/: Error url: must begin with ")
    assert second.startswith(f"{urls[1]}: Error connect: ")
    assert LINE.fullmatch(third)
    assert LAST.fullmatch(last)


@pytest.mark.parametrize("shm", [[], ["-shm", "2"]])
def test_without_any_server_to_ask_it_ends_with_1(
    shm: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*shm, "ftp://a/"]) == 1
    assert capsys.readouterr().out.startswith("ftp://a/: Error ")


def test_unit_0_is_no_unit(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-p", "1", "-shm", "0", f"ws://{server}/"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_last_line_is_of_the_server_with_the_least_delay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = [
        Finding(peer_from({"url": f"http://{name}/"}), 1, track(), estimate(delay=delay), offset)
        for name, offset, delay in [("a", 0.1, 0.03), ("b", -0.000066, 0.001453), ("c", 0.0, 0.02)]
    ]
    show(Survey((*answers,), None), SystemClock())
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == [
        "server http://a/, offset 0.100000, delay 0.030000",
        "server http://b/, offset -0.000066, delay 0.001453",
        "server http://c/, offset 0.000000, delay 0.020000",
    ]
    assert last.endswith(", server http://b/, offset -0.000066")


def test_a_server_that_has_neither_estimate_nor_failure_has_no_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show(Survey((Finding(peer_from({"url": "http://a/"})),), None), SystemClock())
    assert capsys.readouterr().out == ""


async def test_a_round_publishes_what_the_servers_say(server: str) -> None:
    refclock = RecordingRefclock()
    await survey_and_publish([peer_from({"url": f"ws://{server}/"})], 1, SystemClock(), refclock)
    (publication,) = refclock.published
    assert abs(publication.offset - SHIFT) <= publication.error


async def test_a_round_without_an_answer_publishes_nothing(nobody: str) -> None:
    refclock = RecordingRefclock()
    await survey_and_publish([peer_from({"url": f"ws://{nobody}/"})], 1, SystemClock(), refclock)
    assert refclock.published == []


class Rounds(list[PeerSpec]):
    """No servers, and the times at which they were asked."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __iter__(self) -> Iterator[PeerSpec]:
        self.times.append(trio.current_time())
        return super().__iter__()


async def test_shared_memory_is_fed_every_minute(autojump_clock: trio.testing.MockClock) -> None:
    rounds, refclock = Rounds(), RecordingRefclock()
    with trio.move_on_after(150):
        await feed(rounds, 1, SystemClock(), refclock)
    assert rounds.times == [0, 60, 120]
    assert refclock.published == []


@pytest.fixture
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The local time zone that the test asks for, in POSIX's notation."""
    with monkeypatch.context() as environment:
        environment.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "printed"),
    [
        ("JST-9", "2017-03-11 18:25:10 +0900 JST"),
        ("UTC0", "2017-03-11 09:25:10 +0000 UTC"),
        ("EST5EDT,M3.2.0,M11.1.0", "2017-03-11 04:25:10 -0500 EST"),
        ("<-03>3", "2017-03-11 06:25:10 -0300 -03"),
        ("IST-5:30", "2017-03-11 14:55:10 +0530 IST"),
    ],
    indirect=["zone"],
)
def test_a_time_has_the_local_zone_and_its_name(zone: None, printed: str) -> None:
    assert go_time(AT) == printed


@pytest.mark.parametrize("zone", ["EST5EDT,M3.2.0,M11.1.0"], indirect=True)
def test_the_hour_that_comes_twice_is_told_apart_by_its_zone(zone: None) -> None:
    before = 1_509_859_800 * 1_000_000_000  # 2017-11-05 05:30 UTC, half an hour before the change
    assert go_time(before) == "2017-11-05 01:30:00 -0400 EDT"
    assert go_time(before + 3600 * 1_000_000_000) == "2017-11-05 01:30:00 -0500 EST"


@pytest.mark.parametrize("zone", ["JST-9"], indirect=True)
@pytest.mark.parametrize(
    ("nanoseconds", "fraction"), [(905049427, ".905049427"), (500_000_000, ".5"), (1, ".000000001")]
)
def test_a_fraction_has_the_digits_that_it_needs(
    zone: None, nanoseconds: int, fraction: str
) -> None:
    assert go_time(AT + nanoseconds) == f"2017-03-11 18:25:10{fraction} +0900 JST"


def test_an_output_that_cannot_be_written_is_one_line() -> None:
    code = "import sys; from webntpd.cli.compat import main; sys.exit(main(['-version']))"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "webntp: the output cannot be written: No space left on device\n"
