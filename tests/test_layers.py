"""Imports point one way, towards pure code (see ARCHITECTURE.md): this test holds it.

A rule names what a part of the package may import from the package; importing oneself is always allowed,
and so is an import that only the type checker sees.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ironkv"

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "raft": {"errors"},
    "resp": {"errors"},
    "keyspace": {"errors", "resp.replies"},
    "rdb": {"errors", "keyspace"},
    "batch": {"errors"},
    "clock": {"errors"},
    "tls": {"errors"},
    "commands": {"errors", "histogram", "keyspace", "rdb", "resp", "scripting"},
    "scripting": {"errors", "resp.replies"},
    "histogram": set(),
    "meter": {"histogram", "raft.messages"},
    "http": {"tls"},
    "machine": {
        "errors", "batch", "commands", "keyspace", "raft.configuration", "raft.messages", "resp.replies"
    },
    "images": {"errors", "keyspace"},
    "imaging": {"images", "keyspace"},
    "storage": {
        "errors", "histogram", "images", "keyspace", "machine", "raft.configuration", "raft.messages"
    },
    "peers": {"errors", "clock", "raft.messages", "tls"},
    "server": {"errors", "commands", "keyspace", "resp", "tls"},
    # They meet a node through its socket, as any client does; or its directory, once it is stopped.
    "offline": {
        "errors", "batch", "commands", "images", "imaging", "keyspace", "machine", "raft.configuration",
        "raft.messages", "rdb", "resp", "storage", "tools.access", "tools.client",
    },
    "tools": {"errors", "keyspace", "machine", "offline", "rdb", "storage.room", "storage.stopped", "tls"},
}  # fmt: skip

# Pure: no I/O, no clock, no awaiting. C code that only computes is fine.
PURE = ("raft", "keyspace", "rdb", "resp", "errors", "batch", "histogram", "images", "imaging")
PURE_THIRD_PARTY = {"anycrc", "hiredis", "msgpack", "sortedcontainers"}
WORLD = {
    "asyncio",
    "concurrent",
    "os",
    "pathlib",
    "selectors",
    "shutil",
    "socket",
    "subprocess",
    "tempfile",
    "threading",
    "time",
}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """`ironkv.raft.core`; a package is its __init__."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def part_of(name: str) -> str:
    """The top-level part a module belongs to: `raft`, `errors` …"""
    return name.split(".")[1] if "." in name else ""


def imports(path: Path) -> Iterator[str]:
    """The absolute names a file imports when it runs."""
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            pending += ast.iter_child_nodes(node)


def test_something_is_checked() -> None:
    assert {"raft", "keyspace", "resp"} <= {part_of(name_of(path)) for path in modules()}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(name_of(path))
    if part not in MAY_IMPORT:
        return
    for name in imports(path):
        if not name.startswith("ironkv."):
            continue
        inside = name.removeprefix("ironkv.") + "."
        allowed = (part, *MAY_IMPORT[part])
        assert inside.startswith(tuple(f"{a}." for a in allowed)), f"{part} imports {name}, and may not"


@pytest.mark.parametrize("path", [p for p in modules() if part_of(name_of(p)) in PURE], ids=name_of)
def test_pure_parts_do_not_touch_the_world(path: Path) -> None:
    for name in imports(path):
        head = name.partition(".")[0]
        assert head in sys.stdlib_module_names | PURE_THIRD_PARTY | {"ironkv"}, f"{name}: is that pure?"
        assert head not in WORLD, f"{name}: pure code is told what it needs of the world"
    for node in ast.walk(ast.parse(path.read_text())):
        assert not isinstance(node, ast.Await | ast.AsyncFunctionDef), (
            f"line {node.lineno}: pure code never awaits"
        )


def test_no_module_imports_itself_in_a_circle() -> None:
    names = {name_of(path) for path in modules()}
    graph: dict[str, set[str]] = {}
    for path in modules():
        # `from ironkv.raft import messages` means a module, `from ironkv.errors import Fault` a name in one.
        targets = (name if name in names else name.rpartition(".")[0] for name in imports(path))
        graph[name_of(path)] = {t for t in targets if t in names and t != name_of(path)}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle
