"""Every command in the documents is run, every configuration loaded, every output compared.

The commands of a document are run in order on one machine of their own, see machine.py.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs import world
from tests.docs.conversation import talk
from tests.docs.loglines import unknown_lines
from tests.docs.machine import Machine
from tests.docs.markdown import Block, Document, manual_examples
from tests.docs.shape import shape
from tests.system.harness import ROOT, require, require_matplotlib, sandbox

DOCUMENTS = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
MANUALS = sorted((ROOT / "man").glob("*.[1-8]"))
PROMPT = "$ "
SERVER = '[server]\nlisten = ["127.0.0.1:8080"]\n'

pytestmark = pytest.mark.system


def run_commands(machine: Machine, text: str) -> None:
    machine.must(text)


def compare_output(machine: Machine, text: str) -> None:
    """Each command behind a prompt prints what stands below it, see shape.py."""
    for session in text.removeprefix(PROMPT).split(f"\n{PROMPT}"):
        command, _, expected = session.partition("\n")
        done = machine.attempt(command)
        printed = done.stdout + done.stderr
        assert shape(printed) == shape(expected), f"{command}\n{printed}"


def load_configuration(machine: Machine, text: str) -> None:
    """A whole configuration, or a part of one, which is then put beside a server."""
    whole = "[server]" in text or ("[[peer]]" in text and "[[refclock]]" in text)
    machine.write("/tmp/webntpd.toml", text if whole else f"{text}\n{SERVER}")
    machine.must("webntpd check-config --config /tmp/webntpd.toml")


def verify_drop_in(machine: Machine, text: str) -> None:
    """A drop-in for the daemon's unit."""
    machine.write("/etc/systemd/system/webntpd.service.d/example.conf", text)
    program = require("systemd-analyze")
    # The unit calls /usr/bin/webntpd, a package's; and not every systemd knows all that it says.
    machine.must("ln -fs $(command -v webntpd) /usr/bin/")
    done = machine.attempt(f"{program} verify --man=no webntpd.service")
    assert done.returncode == 0, done.stderr
    assert "example.conf" not in done.stderr


def check_chrony(machine: Machine, text: str) -> None:
    machine.write("/tmp/chrony.conf", text)
    machine.must(f"{require('chronyd')} -p -f /tmp/chrony.conf")


def check_prometheus(machine: Machine, text: str) -> None:
    machine.write("/tmp/prometheus.yml", text)
    machine.must(f"{require('promtool')} check config /tmp/prometheus.yml")


def find_in_source(machine: Machine, text: str) -> None:
    assert unknown_lines(text) == []


def leave_alone(machine: Machine, text: str) -> None:
    """Nothing that a program reads or prints."""


RUNNERS: dict[str, Callable[[Machine, str], None]] = {
    "sh": run_commands,
    "console": compare_output,
    "toml": load_configuration,
    "ini": verify_drop_in,
    "chrony": check_chrony,
    "yaml": check_prometheus,
    "websocket": talk,
    "log": find_in_source,
    "text": leave_alone,
    "mermaid": leave_alone,  # tests/test_rooms.py compares it with the source
    # test_proxies.py has these do their work.
    "nginx": leave_alone,
    "haproxy": leave_alone,
    "caddyfile": leave_alone,
    # tests/browser opens these.
    "html": leave_alone,
}
"""What is done with a block, by what stands behind its fence."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with sandbox(tmp_path) as made:
        machine = Machine(made)
        world.bring_up(machine)
        yield machine


def run_all(machine: Machine, blocks: list[Block]) -> None:
    faults = []
    for block in blocks:
        assert block.kind in RUNNERS, f"line {block.line}: a block of {block.kind or 'what'}?"
        try:
            RUNNERS[block.kind](machine, block.text)
        except AssertionError as error:
            faults.append(f"line {block.line}: {error}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_shows_is_so(machine: Machine, path: Path) -> None:
    blocks = Document(path).blocks
    if any("webntpd plot" in block.text for block in blocks):
        require_matplotlib()
    run_all(machine, blocks)


def test_the_example_of_the_configurations_page_is_good(machine: Machine) -> None:
    page = machine.must("python3 packaging/config-page <etc/webntpd.toml")
    (example,) = manual_examples(page)
    load_configuration(machine, example.text)


def test_the_examples_of_the_manual_pages_run(machine: Machine) -> None:
    run_all(machine, [each for path in MANUALS for each in manual_examples(path.read_text())])
