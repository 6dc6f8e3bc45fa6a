"""How the documents are read and compared: what these tests of them would notice."""

from pathlib import Path

import pytest

from tests.docs.loglines import unknown_lines
from tests.docs.markdown import Block, Document, manual_examples
from tests.docs.shape import shape

TEXT = """\
# A `title`, and more

Text with `code` and a [link](other.md#there).

    indented --command

- an item

  which goes on

```toml
# [no](link)
a = 1
```

## Second

The end.
"""


@pytest.fixture
def document(tmp_path: Path) -> Document:
    path = tmp_path / "text.md"
    path.write_text(TEXT)
    return Document(path)


def test_blocks_have_their_line_and_kind(document: Document) -> None:
    assert document.blocks == [
        Block(5, "sh", "indented --command\n"),
        Block(11, "toml", "# [no](link)\na = 1\n"),
    ]


def test_words_links_and_anchors_are_those_of_the_prose(document: Document) -> None:
    assert document.spans == ["title", "code"]
    assert document.links == ["other.md#there"]
    assert document.anchors == {"a-title-and-more", "second"}
    assert document.section("Second").split() == ["##", "Second", "The", "end."]


def test_examples_of_a_manual_page_are_commands() -> None:
    page = ".SH A\n.EX\n    webntpd check\\-config\n.EE\ntext\n"
    assert list(manual_examples(page)) == [Block(2, "sh", "webntpd check-config\n")]


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("offset +41.2 µs ± 5.813 ms, 3 survivors", "offset -3.0 ms ±   12.0 µs, 2 survivors"),
        ("*wss://time.example.org/ 377", "+wss://time.example.net/ 17"),
        ("SHM(2): 412 samples published", "SHM(2): 9 samples published, 2 not consumed"),
        ('{"sync":true,"st":1489224472.99}', '{"sync":false,"st":1795506443.3}'),
    ],
)
def test_what_is_measured_may_differ(shown: str, printed: str) -> None:
    assert shape(shown) == shape(printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("Reachable : 3 of 3 peers", "Reached : 3 of 3 peers"),
        ('{"it":0,"st":1.0}', '{"it":0,"st":1.0,"rt":1.0}'),
        ("one line", "one line\nand another"),
        ("HTTP/1.1 200 OK", "HTTP/1.1 200 Fine"),
    ],
)
def test_nothing_else_may(shown: str, printed: str) -> None:
    assert shape(shown) != shape(printed)


@pytest.mark.parametrize(
    "line",
    [
        "peer wss://a/: reachable",
        "peer wss://a/: unreachable, tls: certificate: whatever OpenSSL says",
        "SHM(2): a sample was not consumed: is a consumer reading it?",
        "webntpd: cannot listen on 0.0.0.0:443: permission denied",
        "/etc/webntpd.toml: [[peer]] #1 url: is missing",
        "reloaded: 2 peers, 1 refclocks",
        "the clock was set by -1.500 s; all measurements stand",
    ],
)
def test_lines_that_the_program_says_are_known(line: str) -> None:
    assert unknown_lines(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "peer wss://a/: reached",
        "peer wss://a/: unreachable, ssl: certificate",
        "SHM(2): a sample was not taken: is a consumer reading it?",
        "webntpd: cannot bind 0.0.0.0:443: permission denied",
        "reloaded 2 peers, 1 refclocks",
    ],
)
def test_others_are_not(line: str) -> None:
    assert unknown_lines(line) == [line]
