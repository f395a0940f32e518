"""CONFIG REWRITE: what CONFIG SET changed, into the file the node was started with.

The file is its author's: comments, order and spelling of what did not change stay as they are.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from ironkv.errors import CommandError
from ironkv.storage.directory import replacing


def rewrite(name: str, changes: Mapping[str, Any]) -> None:
    """Set settings (`section.key`) in a TOML file, in one step. Raises CommandError: it is as it was."""
    path = Path(name).resolve()  # a link stays one
    try:
        before = path.read_text(encoding="utf-8")
        after = rewritten(before, changes)
        if after == before:
            return
        with replacing(path) as out:
            out.write(after.encode())
            _as_it_was(path, out.fileno())
    except OSError as error:
        raise CommandError(f"ERR Rewriting config file: {error.strerror}") from None
    except (TOMLKitError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CommandError(f"ERR Rewriting config file: it is no valid TOML (any more): {error}") from None


def rewritten(text: str, changes: Mapping[str, Any]) -> str:
    """The text with these settings in it. Raises TOMLKitError."""
    document = tomlkit.parse(text)
    for key, value in changes.items():
        section, _, name = key.partition(".")
        if section not in document:
            document[section] = tomlkit.table()
        table: Any = document[section]
        table[name] = value
    return tomlkit.dumps(document)


def _as_it_was(path: Path, new: int) -> None:
    """Who may read a file with passwords in it must not change because it was written anew."""
    was = os.stat(path)
    os.fchmod(new, was.st_mode & 0o7777)
    if (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(new, was.st_uid, was.st_gid)
