"""`ironkv-recover`: when most nodes are lost for good, a new cluster of one from what one directory holds."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ironkv.errors import Fault
from ironkv.offline import console
from ironkv.offline.building import build
from ironkv.offline.console import as_json, line
from ironkv.raft.configuration import Configuration
from ironkv.storage.stopped import StoppedNode

EPILOG = """\
examples:
  ironkv-recover data/node3 --into data/node3-new --cluster shop2 --dry-run     what it would hold
  ironkv-recover data/node3 --into data/node3-new --cluster shop2

Only when a majority is gone for good: while one can be brought back, bring it back, and nothing is lost. Of
the nodes that are left take the one with the highest last entry (`ironkv-dump DIR`). What only the lost nodes
had is lost; entries of this directory that were never acknowledged become true.

The old directory stays as it is. The new cluster has a name of its own, so that no node of the old one can
join it: set `cluster.name`, leave only this node in `cluster.nodes`, start it, and let new nodes `--join`."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ironkv-recover",
        description="Make a new cluster of one node from one directory of a cluster that lost its quorum.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="of a stopped node")
    parser.add_argument("--into", type=Path, required=True, metavar="NEW", help="the new directory")
    parser.add_argument("--cluster", required=True, metavar="NAME", help="the new cluster's name")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args(arguments)
    if options.json and not (options.yes or options.dry_run):
        parser.error("--json asks nobody: say --yes, or --dry-run")
    return console.guarded(lambda: _recover(options))


def _recover(options: argparse.Namespace) -> int:
    into: Path = options.into
    if into.exists():
        raise FileExistsError(f"{into} is there already")
    with StoppedNode(console.must_exist(options.directory)) as node, console.progress(options.json) as tell:
        name, old = str(node.identity["node"]), node.identity.get("cluster")
        if old == options.cluster:
            raise Fault(f"the cluster is named {old!r}: nodes of it could join a new one of that name")
        if not node.last:
            raise Fault(f"{options.directory} holds no entries")
        hard = node.journal.hard
        if hard is not None and hard.fresh:
            raise Fault(f"{options.directory} had not everything yet: take another node's")
        machine = node.state(node.last, tell)
        members = sorted(machine.membership[1].everybody - {name})
        facts = {
            "node": name, "cluster": options.cluster, "was": old, "left behind": members,
            "last entry": node.last, "term": _term(node), "unsure entries": node.last - node.committed,
            "keys": sum(len(database) for database in machine.keyspace.used()),
        }  # fmt: skip
        _say(options, facts)
        if options.dry_run or not (options.yes or _agreed(options.cluster)):
            return 0 if options.dry_run else 1
        alone = Configuration(frozenset({name}))
        manifest = build(machine, _term(node), {name: into}, options.cluster, tell, alone)
    if options.json:
        as_json({**facts, "directory": str(into), "digest": manifest.digest.hex()})
    else:
        line(f"cluster {options.cluster}: {name} in {into}; state {manifest.digest.hex()}")
    return 0


def _term(node: StoppedNode) -> int:
    """The newest that the node knew: terms of the new cluster go on from there."""
    newest = node.manifests[-1].term if node.manifests else 0
    last = node.journal.term(node.journal.last_index) if node.journal.last_index else 0
    return max(newest, last)


def _say(options: argparse.Namespace, facts: dict[str, object]) -> None:
    if options.json:
        if options.dry_run:
            as_json(facts)
        return
    for name, value in facts.items():
        line(f"{name:>15}  {', '.join(value) if isinstance(value, list) else value}")
    line("What only the nodes left behind had is lost. Unsure entries become true, acknowledged or not.")


def _agreed(cluster: str) -> bool:
    """Whether somebody types the new name."""
    try:
        return input(f"Type the new cluster's name ({cluster}) to go on: ").strip() == cluster
    except EOFError:
        return False


if __name__ == "__main__":
    sys.exit(main())
