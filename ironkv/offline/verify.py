"""`ironkv-verify`: whether a stopped node's directory is what it should be, and whether several agree."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.text import Text

from ironkv import images
from ironkv.errors import Fault
from ironkv.keyspace.keyspace import Keyspace
from ironkv.offline import console
from ironkv.offline.console import as_json, out, said
from ironkv.storage.stopped import Progress, StoppedNode

EPILOG = """\
examples:
  ironkv-verify data/node1                          checksums, order, snapshots, and their state
  ironkv-verify data/node1 data/node2 data/node3    and whether the three agree

Every record is read. Of several directories of one cluster it is told whether they agree as far as all of
them have certainly committed entries, and at which entry they part. The nodes must be stopped; nothing is
changed."""


@dataclass(slots=True)
class Findings:
    """What is wrong with a directory, and what it holds."""

    directory: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    cluster: str = ""
    node: str = ""
    committed: int = 0
    last: int = 0
    digest: str = ""
    """Of the state at `committed`."""
    checked_entries: int = 0
    checked_snapshots: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ironkv-verify",
        description="Check the data directories of stopped nodes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directories", type=Path, nargs="+", metavar="DIR", help="a node's data directory")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    return console.guarded(lambda: _verify(options.directories, options.json))


def _verify(directories: Sequence[Path], for_programs: bool) -> int:
    found: list[Findings] = []
    apart: list[str] = []
    with console.progress(for_programs) as tell:
        for directory in directories:
            found.append(check(console.must_exist(directory), tell))
        if len(found) > 1 and not any(each.problems for each in found):
            apart = compare(directories, found, tell)
    well = not apart and not any(each.problems for each in found)
    if for_programs:
        plain = [{name: getattr(each, name) for name in Findings.__slots__} for each in found]
        as_json({"well": well, "directories": plain, "disagreements": apart})
    else:
        _say(found, apart)
    return 0 if well else 1


def _say(found: Sequence[Findings], apart: Sequence[str]) -> None:
    for each in found:
        verdict = ("DAMAGED", "red") if each.problems else ("well", "green")
        of = f"  node {each.node}, cluster {each.cluster}, {each.checked_entries:,} entries, "
        upto = f"{each.checked_snapshots} snapshots, committed up to {each.committed:,} of {each.last:,}"
        out.print(Text.assemble(f"{each.directory}: ", verdict, of + upto), soft_wrap=True)
        if each.digest:
            out.print(f"  state at {each.committed:,}: {each.digest}")
        for problem in each.problems:
            out.print(said("  problem:", f" {problem}", "red"), soft_wrap=True)
        for note in each.notes:
            out.print(f"  note: {note}", soft_wrap=True, markup=False)
    if len(found) > 1:
        for each_apart in apart:
            out.print(said("they differ:", f" {each_apart}", "red"), soft_wrap=True)
        if not apart and not any(each.problems for each in found):
            common = min(each.committed for each in found)
            out.print(said("they agree", f" up to entry {common:,}", "green"))


def check(directory: Path, tell: Progress) -> Findings:
    """Read everything. Raises Fault only when the directory cannot be opened at all."""
    found = Findings(str(directory))
    try:
        node = StoppedNode(directory)
    except Fault as fault:
        if "in use" in str(fault) or "no data directory" in str(fault):
            raise
        found.problems.append(str(fault))
        return found
    with node:
        found.cluster, found.node = str(node.identity.get("cluster")), str(node.identity["node"])
        found.committed, found.last = node.committed, node.last
        _check_journal(node, found, tell)
        _check_snapshots(node, found, tell)
        if not found.problems:
            try:
                machine = node.state(progress=tell)
                found.digest = images.digest_of_keyspace(machine.keyspace).hex()
            except Fault as fault:
                found.problems.append(str(fault))
    return found


def _check_journal(node: StoppedNode, found: Findings, tell: Progress) -> None:
    journal = node.journal
    newest = node.manifests[-1] if node.manifests else None
    if journal.first_index > (newest.index if newest else 0) + 1:
        end = f"the newest snapshot ends at {newest.index}" if newest else "there is no snapshot"
        found.problems.append(
            f"{node.path / 'journal'} begins at entry {journal.first_index}, and {end}: "
            "what lies between is missing"
        )
    term = journal.term(journal.first_index - 1)
    count = max(journal.last_index + 1 - journal.first_index, 1)
    try:
        for entry in journal.replay():
            found.checked_entries += 1
            if entry.term < term:
                found.problems.append(
                    f"entry {entry.index} is of term {entry.term}, the one before of {term}"
                )
            term = entry.term
            tell(f"journal of {found.node}", found.checked_entries / count)
    except Fault as fault:
        found.problems.append(str(fault))
    if journal.hard is None:
        found.notes.append("nothing was ever promised here: a node that never took part")
    elif journal.hard.fresh:
        found.notes.append(
            "fresh: it began with an empty directory and has not caught up; it does not vote yet"
        )
    if journal.last_index > node.committed:
        found.notes.append(f"entries behind {node.committed} may not have been committed")
    if node.contradiction is not None:
        found.problems.append(node.contradiction)
    elif newest is not None and journal.last_index < newest.index:
        found.notes.append("the journal ends before the snapshot: it begins anew behind it at the next start")


def _check_snapshots(node: StoppedNode, found: Findings, tell: Progress) -> None:
    for manifest in node.manifests:
        assert node.snapshots is not None
        keyspace = Keyspace()
        try:
            for done in node.snapshots.load(manifest, keyspace):
                tell(f"snapshot {manifest.index} of {found.node}", done)
            if images.digest_of_keyspace(keyspace) != manifest.digest:
                found.problems.append(f"snapshot {manifest.index}: the state it makes has another digest")
            found.checked_snapshots += 1
        except Fault as fault:
            found.problems.append(str(fault))
    if node.snapshots is not None:
        above = node.manifests[-1].index if node.manifests else -1
        try:
            left = sum(1 for index in node.snapshots.image_indexes() if index > above)
        except Fault as fault:
            found.problems.append(str(fault))
            return
        if left:
            found.notes.append(f"{left} images of a snapshot that was not finished: removed by the next one")


# -- several directories


def compare(directories: Sequence[Path], found: Sequence[Findings], tell: Progress) -> list[str]:
    """Where directories of one cluster part; nothing when they agree."""
    clusters = {each.cluster for each in found}
    if len(clusters) > 1:
        return [f"they are of different clusters: {', '.join(sorted(clusters))}"]
    apart: list[str] = []
    first, *others = directories
    with StoppedNode(first) as one:
        for directory in others:
            with StoppedNode(directory) as other:
                parting = _parting(one, other, tell)
                if parting is not None:
                    apart.append(f"{first} and {directory}: {parting}")
    return apart


def _parting(one: StoppedNode, other: StoppedNode, tell: Progress) -> str | None:
    common = min(one.committed, other.committed)
    low = max(one.journal.first_index, other.journal.first_index)
    for mine, its in zip(one.entries(low, common), other.entries(low, common), strict=False):
        if (mine.index, mine.term, mine.kind, mine.data) != (its.index, its.term, its.kind, its.data):
            return f"entry {mine.index} differs (terms {mine.term} and {its.term})"
    # What both have as entries is equal; what one of them has as a snapshot only, the state tells.
    for index in {common, max(one.reach[0], other.reach[0])}:
        if index <= common and max(one.reach[0], other.reach[0]) <= index:
            states = [node.state(index, tell) for node in (one, other)]
            if _digest(states[0]) != _digest(states[1]):
                return f"their states at entry {index} differ, though no entry that both have does"
    return None


def _digest(machine: Any) -> bytes:
    return images.digest_of_keyspace(machine.keyspace)


if __name__ == "__main__":
    sys.exit(main())
