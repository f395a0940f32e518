"""The command line of `ironkv-ctl`.

Exit status: 0 well, 1 something is wrong (doctor: warnings), 2 wrong usage (doctor: trouble).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

from ironkv.errors import Fault
from ironkv.offline import backup, console
from ironkv.tools.access import add_options
from ironkv.tools.client import ErrorReply, ProtocolFault
from ironkv.tools.ctl import doctor, members, snapshot, status

Verb = Callable[[argparse.Namespace], int]

EPILOG = """\
Any node may be asked: it names the others, and what only the leader can do is brought to it. The password is
taken from IRONKV_PASSWORD or REDISCLI_AUTH."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    verb: Verb = options.verb
    return console.guarded(lambda: _told(verb, options))


def _told(verb: Verb, options: argparse.Namespace) -> int:
    try:
        return verb(options)
    except (ErrorReply, ProtocolFault, Fault) as error:
        raise OSError(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ironkv-ctl", description="Look after an IronKV cluster.", epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=f"ironkv {version('ironkv')}")
    add_options(parser)
    verbs = parser.add_subparsers(metavar="COMMAND", required=True)

    def verb(name: str, what: str, run: Verb, of: object = verbs) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = of.add_parser(name, help=what, description=what)  # type: ignore[attr-defined]
        add_options(made)
        made.set_defaults(verb=run)
        return made

    shown = verb("status", "The nodes in a table: 0 if all of them are well.", status.run)
    shown.add_argument(
        "--watch", nargs="?", type=float, const=1.0, metavar="SECONDS", help="again and again, until Ctrl-C"
    )
    shown.add_argument("--json", action="store_true", help="for programs")
    _members(verb)
    taken = verb("snapshot", "Take a snapshot now, of the node that is asked.", snapshot.run)
    taken.add_argument("--all", action="store_true", help="of every node, one after the other")
    kept = verb("backup", "Back up a running node into one file, as ironkv-backup does.", backup.make)
    kept.add_argument("file", type=Path, metavar="FILE", help="the backup")
    kept.add_argument(
        "--leader", action="store_true", help="ask the leader, which has everything acknowledged"
    )
    kept.add_argument("--force", action="store_true", help="replace FILE if it is there")
    kept.add_argument("--json", action="store_true", help="for programs")
    asked = verb(
        "doctor", "What would go wrong, in plain words: 0 nothing, 1 warnings, 2 trouble.", doctor.run
    )
    asked.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="measure the disk of this directory, too, on this machine",
    )
    asked.add_argument("--json", action="store_true", help="for programs")
    return parser


def _members(verb: Callable[..., argparse.ArgumentParser]) -> None:
    group = verb("members", "Who belongs to the cluster, and changing that.", members.show)
    group.add_argument("--json", action="store_true", help="for programs")
    changes = group.add_subparsers(metavar="CHANGE")
    added = verb(
        "add", "Add a node as a learner: it is sent everything, without a vote.", members.add, changes
    )
    added.add_argument("id", metavar="ID", help="its name")
    added.add_argument("node_host", metavar="HOST", help="where clients and the other nodes reach it")
    added.add_argument("node_port", type=int, metavar="PORT", help="its client port")
    added.add_argument("cluster_port", type=int, metavar="CLUSTER_PORT", help="its port for the other nodes")
    removed = verb("remove", "Remove a node: it has no say any more.", members.remove, changes)
    removed.add_argument("id", metavar="ID")
    removed.add_argument("-y", "--yes", action="store_true", help="without asking")
    promoted = verb("promote", "Give a learner its vote.", members.promote, changes)
    promoted.add_argument("id", metavar="ID")
    handed = verb("transfer", "Hand leadership over, and wait for it.", members.transfer, changes)
    handed.add_argument("id", nargs="?", metavar="ID", help="to whom (whoever has most of the log)")


if __name__ == "__main__":
    sys.exit(main())
