"""`ironkv-ctl doctor`: what would go wrong with a cluster, its machines and a disk, in plain words."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from rich.markup import escape

from ironkv.offline import console
from ironkv.tools.access import Unreachable, access
from ironkv.tools.ctl import disk, health, machines
from ironkv.tools.ctl.findings import Finding, Level, trouble
from ironkv.tools.ctl.seen import look

MARKS: Final = {
    Level.FINE: "[green]✓[/green]",
    Level.WARNING: "[yellow]![/yellow]",
    Level.TROUBLE: "[red]✗[/red]",
}


def run(options: argparse.Namespace) -> int:
    """The level of the worst finding."""
    way = access(options)
    found: list[Finding] = []
    try:
        nodes = look(way, "default", "host", parameters=(*health.PARAMETERS, *machines.PARAMETERS))
    except Unreachable as error:
        found.append(trouble("reach", f"nobody answers there: {error}"))
    else:
        found += [*health.judge(nodes), *machines.judge(nodes)]
    if options.data_dir is not None:
        found += disk.judge(console.must_exist(options.data_dir))
    _tell(found, options.json)
    return max(finding.level for finding in found)


def _tell(found: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        console.as_json([{**each._asdict(), "level": each.level.name.lower()} for each in found])
        return
    for each in found:
        console.out.print(
            f"{MARKS[each.level]} [bold]{each.subject}[/bold]: {escape(each.text)}", soft_wrap=True
        )
