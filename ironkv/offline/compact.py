"""`ironkv-compact`: fold a stopped node's journal into a fresh snapshot and give the disk its room back.

Both environments are written anew aside, flushed, opened again and compared; then each data file takes the
place of the old one with one rename, the snapshots first. In between stands a new snapshot beside the old
journal, which is a valid directory: the journal reaches back further than it need. So whenever this is
interrupted, the directory starts with everything; what lies in `compact.new` is removed by the next run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import lmdb

from ironkv import images
from ironkv.errors import Fault, IronKVError
from ironkv.offline import console
from ironkv.offline.building import verify_parts, write_snapshot
from ironkv.offline.console import as_json, line, size
from ironkv.raft.messages import Entry, Mark, Persist
from ironkv.storage.directory import sync_directory
from ironkv.storage.journal import Journal
from ironkv.storage.stopped import Progress, StoppedNode

ASIDE: Final = "compact.new"
DATA: Final = "data.mdb"
BATCH: Final = 32
"""Chunks, or entries times 32, in one transaction."""

EPILOG = """\
The state as of the last entry that certainly is committed becomes a snapshot; entries behind it stay entries.
The node must be stopped. It needs room for the new files beside the old ones, and changes nothing until they
are whole."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ironkv-compact",
        description="Fold the journal of a stopped node into a snapshot; rewrite both without free pages.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="the node's data directory")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    return console.guarded(lambda: _compact(console.must_exist(options.directory), options))


def _compact(path: Path, options: argparse.Namespace) -> int:
    with StoppedNode(path) as node, console.progress(options.json) as tell:
        before, free = sum(_sizes(path).values()), _free(node)
        kept = max(0, node.last - node.committed)
        digest = ""
        if not options.dry_run and node.committed:
            digest = compact(node, tell)
        after = sum(_sizes(path).values())
        folded = node.committed
    if options.json:
        facts = {"directory": str(path), "folded_up_to": folded, "entries_kept": kept, "digest": digest}
        as_json({**facts, "bytes_before": before, "free_before": free, "bytes_after": after})
    elif not folded:
        line(f"{path}: nothing is known to be committed here, so there is nothing to fold")
    elif options.dry_run:
        line(f"{path}: {size(before)}, {size(free)} of it free pages")
        line(f"would fold the log up to entry {folded:,} into a snapshot, and keep {kept:,} entries")
    else:
        line(f"{path}: {size(before)} before, {size(after)} after")
        line(f"folded up to entry {folded:,}, kept {kept:,} entries; state {digest}")
    return 0


def _sizes(path: Path) -> dict[str, int]:
    files = [path / part / DATA for part in ("journal", "snapshots")]
    return {str(file): file.stat().st_size for file in files if file.exists()}


def _free(node: StoppedNode) -> int:
    snapshots = node.snapshots.view()["bytes_free"] if node.snapshots is not None else 0
    return int(node.journal.view()["bytes_free"]) + snapshots


def compact(node: StoppedNode, tell: Progress, step: Callable[[str], None] = lambda name: None) -> str:
    """Do it; the digest of the state, as hexadecimal. `step` is told of each step before it is taken."""
    aside = node.path / ASIDE
    step("clear")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        return _compacted(node, aside, tell, step)
    except (IronKVError, OSError, lmdb.Error):
        shutil.rmtree(aside, ignore_errors=True)  # the disk may be full
        raise


def _compacted(node: StoppedNode, aside: Path, tell: Progress, step: Callable[[str], None]) -> str:
    if node.contradiction is not None:
        raise Fault(f"{node.path}: {node.contradiction}. Nothing was changed")
    machine = node.state(progress=tell)
    digest = images.digest_of_keyspace(machine.keyspace)
    step("snapshots")
    term, ahead = _term(node, machine.applied), node.journal.last_index < machine.applied
    write_snapshot(aside / "snapshots", machine, term, tell, received=ahead)
    step("journal")
    _write_journal(aside / "journal", node, machine.applied)
    step("verify")
    verify_parts(aside, machine.applied, digest, tell)
    for part in ("snapshots", "journal"):
        step(f"swap {part}")
        (node.path / part).mkdir(exist_ok=True)
        os.replace(aside / part / DATA, node.path / part / DATA)
        sync_directory(node.path / part)
        sync_directory(node.path)
    step("tidy")
    shutil.rmtree(aside, ignore_errors=True)
    return digest.hex()


def _term(node: StoppedNode, index: int) -> int:
    for manifest in node.manifests:
        if manifest.index == index:
            return manifest.term
    return node.journal.term(index) if index else 0


def _write_journal(path: Path, node: StoppedNode, index: int) -> None:
    path.mkdir(parents=True)
    journal = Journal(path)
    try:
        hard = node.journal.hard
        journal.hard = hard
        journal.reset(index, _term(node, index), fresh=hard is None or hard.fresh)
        batch: list[Entry] = []

        def put() -> None:
            if batch and hard is not None:
                mark = Mark(1, hard.term, batch[-1].index)
                journal.write(Persist(mark, hard.term, hard.voted_for, hard.commit, tuple(batch), hard.fresh))
                batch.clear()

        for entry in node.entries(index + 1):
            batch.append(entry)
            if len(batch) >= 32 * BATCH:
                put()
        put()
    finally:
        journal.close()


if __name__ == "__main__":
    sys.exit(main())
