"""The architecture, enforced from the source: imports point one way, and the pure part is pure."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "webntpd"

# From the top to the bottom: a module may import its own layer and those below it.
LAYERS: list[set[str]] = [
    {"__main__", "worker"},
    {"cli", "compat"},
    {"commands", "look"},
    {"arguments", "controlclient", "demo", "plot", "query", "units"},
    {"consumers", "terminal"},
    {"supervisor"},
    {"peer_task", "statekeeping", "system_task", "tasks"},
    {"config", "metrics"},
    {
        "control", "discontinuity", "leapfetch", "leapfile", "log", "refclock",
        "server", "service", "state", "statslog",
    },
    {"exchange"},
    {"callers", "journal", "processmetrics", "ratelimit", "timestamping"},
    {"clock", "kernelstamps", "unblocked"},
    {"views"},
    {"changes", "ntpstats", "render"},
    {"onwire", "status"},
    {"leap", "wire"},
    {"choices", "ntp", "paths"},
]  # fmt: skip
PURE = {"changes", "ntpstats", "onwire", "render", "status", "leap", "views", "wire", "ntp"}
FORBIDDEN_IN_PURE = {
    "asyncio", "datetime", "httpcore", "httpx", "os", "pathlib", "random", "select", "selectors",
    "socket", "ssl", "subprocess", "threading", "time", "trio", "trio_websocket",
}  # fmt: skip

MODULES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def layer_of(name: str) -> int:
    for depth, names in enumerate(LAYERS):
        if name in names:
            return depth
    pytest.fail(f"webntpd.{name} has no layer: add it to LAYERS in {__file__}")


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found.add(node.module)
            if node.module == "webntpd":
                found |= {f"webntpd.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    if path == ROOT / "__init__.py":
        assert not imports_of(path)
        return
    own = layer_of(name_of(path))
    for imported in imports_of(path):
        parts = imported.split(".")
        if parts[0] == "webntpd" and len(parts) > 1 and parts[1] != "__version__":
            below = layer_of(parts[1]) > own or parts[1] == name_of(path)
            assert below, f"{path} imports {imported}, which is not below it"


@pytest.mark.parametrize(
    "path", [p for p in MODULES if name_of(p) in PURE], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_pure_part_is_pure(path: Path) -> None:
    roots = {imported.split(".")[0] for imported in imports_of(path)}
    assert not roots & FORBIDDEN_IN_PURE
