"""The rooms of the package: their order from rooms.toml, and their imports from the source.

`python -m tests.rooms` renews what CONTRIBUTING.md shows of them.
"""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
PACKAGE = PROJECT / "webntpd"
GUIDE = PROJECT / "CONTRIBUTING.md"
BEGIN = "<!-- rooms: made by `python -m tests.rooms` from tests/rooms.toml -->\n"
END = "<!-- end of rooms -->\n"


@dataclass(frozen=True, slots=True)
class Room:
    """A package below webntpd; its modules stand in the order in which they may import."""

    name: str
    purpose: str
    modules: tuple[str, ...]
    pure: bool = False


def load_rooms() -> tuple[Room, ...]:
    """The rooms, from the top to the bottom."""
    tables = tomllib.loads((PROJECT / "tests" / "rooms.toml").read_text())["room"]
    return tuple(Room(**table | {"modules": tuple(table["modules"])}) for table in tables)


ROOMS = load_rooms()


def source_files(room: Room) -> list[Path]:
    return sorted((PACKAGE / room.name).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """The full names of the modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path} has a relative import")
            module = str(node.module)
            submodules = [f"{module}.{alias.name}" for alias in node.names]
            for name in submodules:
                yield name if _is_module(name) else module


def _is_module(name: str) -> bool:
    path = PROJECT.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def arrows() -> set[tuple[str, str]]:
    """Each pair of rooms of which the first imports the second."""
    names = {room.name for room in ROOMS}
    return {
        (room.name, target)
        for room in ROOMS
        for path in source_files(room)
        for imported in imports_of(path)
        if imported.startswith("webntpd.") and (target := imported.split(".")[1]) != room.name
        if target in names
    }


def picture() -> str:
    """The rooms as a Mermaid graph, without the arrows that a longer way implies."""
    every = arrows()
    targets = {room.name: {to for origin, to in every if origin == room.name} for room in ROOMS}

    def reaches(origin: str, target: str) -> bool:
        return any(to == target or reaches(to, target) for to in targets[origin])

    lines = [
        f"    {room.name} --> {target}"
        for room in ROOMS
        for target in sorted(targets[room.name])
        if not any(reaches(between, target) for between in targets[room.name] - {target})
    ]
    pure = ",".join(room.name for room in ROOMS if room.pure)
    return "\n".join(
        [
            "```mermaid",
            "graph TD",
            *lines,
            "    classDef pure stroke-dasharray: 5",
            f"    class {pure} pure",
            "```",
        ]
    )


def table() -> str:
    """The map: a row for each room, from the top to the bottom."""
    rows = ["| room | what it does | its modules, from the top |", "|---|---|---|"]
    for room in ROOMS:
        modules = ", ".join(f"`{module}`" for module in room.modules)
        name = f"`{room.name}`" + (" (pure)" if room.pure else "")
        rows.append(f"| {name} | {room.purpose} | {modules} |")
    return "\n".join(rows)


def section() -> str:
    """What CONTRIBUTING.md has between BEGIN and END."""
    return f"{BEGIN}\n{picture()}\n\n{table()}\n\n{END}"


def renewed(guide: str) -> str:
    """The guide with the section as it is now."""
    before, _, rest = guide.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + section() + after


if __name__ == "__main__":
    GUIDE.write_text(renewed(GUIDE.read_text()))
