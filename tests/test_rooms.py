"""The architecture, enforced from the source: imports point down, and the pure rooms are pure."""

from pathlib import Path

import pytest

from tests.rooms import GUIDE, PACKAGE, ROOMS, Room, imports_of, renewed, source_files

FORBIDDEN_IN_PURE = {
    "asyncio", "datetime", "httpcore", "httpx", "os", "pathlib", "random", "select", "selectors",
    "socket", "ssl", "subprocess", "threading", "time", "trio", "trio_websocket",
}  # fmt: skip
ROOT_FILES = {"__init__.py", "__main__.py", "keys.py", "names.py"}
ORDER = {room.name: place for place, room in enumerate(ROOMS)}

of_each_room = pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)


def own_imports(path: Path) -> list[list[str]]:
    """The parts of each imported name of ours, without "webntpd"."""
    return [name.split(".")[1:] for name in imports_of(path) if name.startswith("webntpd.")]


def test_the_root_holds_the_rooms_and_nothing_else() -> None:
    assert {path.name for path in PACKAGE.glob("*.py")} == ROOT_FILES
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ORDER)


@of_each_room
def test_a_room_lists_its_modules(room: Room) -> None:
    folder = PACKAGE / room.name
    packages = {path.parent.name for path in folder.glob("*/__init__.py")}
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert sorted(room.modules) == sorted(files | packages)


@of_each_room
def test_a_room_imports_only_rooms_below_it(room: Room) -> None:
    for path in source_files(room):
        for target, *_ in own_imports(path):
            if target not in (room.name, "names", "keys"):
                assert ORDER[target] > ORDER[room.name], f"{path} imports {target}"


@of_each_room
def test_a_module_imports_only_modules_that_stand_behind_it(room: Room) -> None:
    for path in source_files(room):
        own = path.relative_to(PACKAGE / room.name).with_suffix("").parts[0]
        if own == "__init__":
            continue
        for target, *rest in own_imports(path):
            if target == room.name and rest[:1] != [own]:
                assert rest, f"{path} imports its own package"
                below = room.modules.index(rest[0]) > room.modules.index(own)
                assert below, f"{path} imports {rest[0]}"


@of_each_room
def test_a_pure_room_is_pure(room: Room) -> None:
    if room.pure:
        for path in source_files(room):
            assert not {name.split(".")[0] for name in imports_of(path)} & FORBIDDEN_IN_PURE, path


def test_the_root_modules_import_no_room_but_the_commands() -> None:
    assert own_imports(PACKAGE / "__init__.py") == own_imports(PACKAGE / "names.py") == []
    assert {target for target, *_ in own_imports(PACKAGE / "__main__.py")} == {"cli"}


def test_the_contributors_guide_shows_the_rooms_as_they_are() -> None:
    assert GUIDE.read_text() == renewed(GUIDE.read_text()), "run python -m tests.rooms"
