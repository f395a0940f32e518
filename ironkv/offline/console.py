"""How the offline tools talk: tables and progress for people, JSON for programs, one line for an error."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import lmdb
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ironkv.errors import Fault, IronKVError
from ironkv.storage.stopped import InUse
from ironkv.storage.stopped import Progress as Tell

EX_NOINPUT: Final = 66
EX_UNAVAILABLE: Final = 69
EX_SOFTWARE: Final = 70

out: Final = Console(highlight=False)
_errors: Final = Console(stderr=True, highlight=False)


def guarded(main: Callable[[], int]) -> int:
    """Run a tool; its exit status. An error is one line on stderr."""
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except InUse as error:
        return _refused(error, EX_UNAVAILABLE)
    except IronKVError as error:
        return _refused(error, EX_SOFTWARE)
    except lmdb.Error as error:
        return _refused(Fault(f"a file cannot be read or written: {error}"), EX_SOFTWARE)
    except (FileNotFoundError, NotADirectoryError) as error:
        return _refused(error, EX_NOINPUT)
    except OSError as error:
        return _refused(error, 1)


def _refused(error: Exception, status: int) -> int:
    _errors.print(said("error:", f" {error}", "red"), soft_wrap=True)
    return status


def line(text: str) -> None:
    """A line for people, shown as it is."""
    out.print(text, markup=False, soft_wrap=True)


def said(marked: str, plain: str, style: str) -> Text:
    """Words that stand out, and behind them what is shown as it is: names may hold rich's markup."""
    return Text.assemble((marked, style), plain)


def must_exist(path: Path) -> Path:
    """Raises FileNotFoundError with a plain message."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or directory")
    return path


@contextmanager
def progress(quiet: bool) -> Iterator[Tell]:
    """A bar on stderr, if there is anybody to look at it."""
    if quiet or not _errors.is_terminal:
        yield lambda doing, done: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %")
    with Progress(*columns, TimeRemainingColumn(), console=_errors, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tell(doing: str, done: float) -> None:
            if doing not in tasks:
                tasks[doing] = bars.add_task(doing, total=1.0)
            bars.update(tasks[doing], completed=done)

        yield tell


def tell(shown: RenderableType) -> None:
    """Print a table or a text; into a pipe, with lines as long as they are."""
    whole = out if out.is_terminal else Console(highlight=False, width=1000, file=out.file)
    whole.print(shown)
    out.file.flush()


def as_json(document: object) -> None:
    """One JSON document on stdout. Bytes are shown as redis-cli shows them."""
    print(json.dumps(document, indent=1, default=_plain))


def _plain(value: object) -> object:
    return shown(value) if isinstance(value, bytes) else str(value)


def table(title: str, *columns: str) -> Table:
    """An empty table; columns that begin with `>` lean to the right."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        made.add_column(
            column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    return made


def row(rows: Table, *cells: str) -> None:
    """Add a row of cells that are shown as they are."""
    rows.add_row(*map(Text, cells))


_ESCAPES: Final = {0x5C: "\\\\", 0x22: '\\"', 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x07: "\\a", 0x08: "\\b"}


def quoted(data: bytes) -> str:
    """As redis-cli writes a string: in double quotes, what cannot be printed as \\xHH."""
    return '"' + "".join(_ESCAPES.get(byte) or _one(byte) for byte in data) + '"'


def _one(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"


def shown(data: bytes, most: int = 0) -> str:
    """A name or a value on a line: bare when that is not ambiguous; cut after `most` bytes."""
    if most and len(data) > most:
        return f"{quoted(data[:most])}… ({len(data):,} bytes)"
    plain = data and all(0x21 <= byte < 0x7F and byte not in b"\"'\\" for byte in data)
    return data.decode() if plain else quoted(data)


def size(count: int) -> str:
    """Bytes for people."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.2f} GiB"
