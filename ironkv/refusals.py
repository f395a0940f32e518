"""How a wrong setting is refused: the key, the value, where it came from, what is allowed.

    server.port = 70000 (--port): allowed is a whole number from 1 to 65535
    raft.heartbeet_ms (config/node1.toml): no such setting; did you mean raft.heartbeat_ms?

It reads what is allowed off the model, so that no text can say otherwise than the check does.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

Tree = dict[str, Any]
"""Sections and their keys, as TOML gives them."""
Path = Sequence[str | int]
"""Of a value in a tree: `("cluster", "nodes", 0, "port")`."""
Model = type[BaseModel]

UNITS: Final = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1 << 10,
    "m": 10**6,
    "mb": 1 << 20,
    "g": 10**9,
    "gb": 1 << 30,
}
"""As Redis reads sizes."""


DEFAULT: Final = "default"
"""The place that values come from that nobody gave."""


class Allowed(NamedTuple):
    """Annotates a field: what it may be, where its type does not say it well."""

    text: str


IS_SIZE: Final = Allowed("")
"""Annotates a number of bytes."""


class Layer(NamedTuple):
    """Values from one place, and for each setting what to call that place."""

    tree: Tree
    sources: Mapping[str, str]
    otherwise: str = ""


def explain(error: ValidationError, root: Model, layers: Sequence[Layer]) -> str:
    """The first thing wrong, in one line."""
    # What was given comes before what was derived from it.
    first = min(error.errors(), key=lambda found: _source(found["loc"], layers) == DEFAULT)
    path = first["loc"]
    if first["type"] == "extra_forbidden":
        return f"{dotted(path)} ({_source(path, layers)}): no such setting; {_hint(path, root)}"
    if first["type"] == "missing":
        return f"{dotted(path)} ({_source(path, layers)}): missing; wanted is {_allowed(path, root)}"
    return refusal(path, first["input"], layers, _allowed(path, root))


def refusal(path: Path, value: object, layers: Sequence[Layer], allowed: str) -> str:
    """The message about one value."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return f"{dotted(path)} = {shown} ({_source(path, layers)}): allowed is {allowed}"


def dotted(path: Path) -> str:
    """`cluster.nodes.0.port`"""
    return ".".join(map(str, path))


def value_at(tree: Any, path: Path) -> Any:
    """The value at `path`, None if there is none."""
    for part in path:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return None
    return tree


def keys(root: Model) -> Iterator[str]:
    """Every setting of every section: `node.id`, `node.data_dir` …"""
    for section in root.model_fields:
        yield from (f"{section}.{name}" for name in _model_at([section], root).model_fields)


def either(choices: Sequence[str]) -> str:
    """`a, b or c`"""
    return f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]


def _source(path: Path, layers: Sequence[Layer]) -> str:
    """Where a value came from."""
    for layer in layers:
        if value_at(layer.tree, path[:2]) is not None or (len(path) == 1 and path[0] in layer.tree):
            return layer.sources.get(dotted(path[:2])) or layer.otherwise
    return DEFAULT


def _hint(path: Path, root: Model) -> str:
    """Which key was meant, perhaps."""
    above, name = path[:-1], str(path[-1])
    known = list(_model_at(above, root).model_fields)
    elsewhere = [key for key in keys(root) if key.endswith(f".{name}")]
    if near := difflib.get_close_matches(name, known, 1):
        return f"did you mean {dotted([*above, near[0]])}?"
    if elsewhere:
        return f"did you mean {elsewhere[0]}?"
    return f"known {'there ' if above else ''}are {', '.join(known)}"


def _model_at(path: Path, root: Model) -> Model:
    """The model of a table: of `[]`, `["server"]`, `["cluster", "nodes", 0]`."""
    found: Any = root
    for part in path:
        found = get_args(found)[0] if isinstance(part, int) else found.model_fields[part].annotation
    model: Model = found
    return model


def _allowed(path: Path, root: Model) -> str:
    """What the setting at `path` may be, in words."""
    name = path[-1]
    if isinstance(name, int):
        return f"a table with {', '.join(_model_at(path, root).model_fields)}"
    if len(path) == 1:
        return f"a table: [{name}]"
    return _allowed_in(_model_at(path[:-1], root).model_fields[name])


def _allowed_in(field: FieldInfo) -> str:
    for item in field.metadata:
        if isinstance(item, Allowed) and item.text:
            return item.text
    if get_origin(field.annotation) is Literal:
        return either([f'"{choice}"' for choice in get_args(field.annotation)])
    low, high = (_bound(field, name) for name in ("ge", "le"))
    if IS_SIZE in field.metadata:
        return f"a size from {size_text(low)} to {size_text(high)}"
    return f"a whole number from {low} to {high}"


def _bound(field: FieldInfo, name: str) -> int:
    return next(int(getattr(item, name)) for item in field.metadata if hasattr(item, name))


def size_text(size: int) -> str:
    """Bytes in the largest unit that leaves no remainder: `512mb`."""
    for unit in ("gb", "mb", "kb"):
        if size and size % UNITS[unit] == 0:
            return f"{size // UNITS[unit]}{unit}"
    return str(size)
