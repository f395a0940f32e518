"""What is wrong with a node, judged from its figures.

Live: the process works; to be restarted if not. So neither a full disk nor a missing majority counts: a
restart mends neither. Ready: it can serve clients. Healthy: ready, and nothing asks for an operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

SILENT_S: Final = 30.0
"""A loop that has not come round for so long will not do so any more."""

Checks = dict[str, str]
"""By check: empty when it is passed, or what is wrong."""


def liveness(silent_s: float) -> Checks:
    """`silent_s`: for how long the node's loop has not come round."""
    stuck = f"the node's loop has not answered for {silent_s:.0f} s" if silent_s > SILENT_S else ""
    return {"loop": stuck}


def readiness(figures: Mapping[str, Any]) -> Checks:
    """Whether clients can be sent here."""
    raft = figures["raft"]
    if figures["loading"]:
        return {"loaded": f"loading its state from disk: {100 * figures['recovered']:.0f} %"}
    return {
        "loaded": "",
        "running": "stopping" if figures["stopping"] else "",
        "leader": ""
        if raft["leader"]
        else "no leader is known: an election is under way or too few nodes are up",
        "complete": "its disk was lost or is new, and it has not caught up with the leader"
        if raft["fresh"]
        else "",
    }


def health(figures: Mapping[str, Any]) -> Checks:
    """Whether an operator is needed."""
    snapshot = figures["snapshot"]
    away = [each["id"] for each in figures["nodes"] if not each["online"]]
    return {
        **readiness(figures),
        "disk": snapshot["lacking"] or "",
        "snapshot": f"the last snapshot failed: {snapshot['error']}" if snapshot["error"] else "",
        "peers": f"out of reach: {', '.join(away)}" if away else "",
    }


def failures(checks: Checks) -> Checks:
    """Those that are not passed."""
    return {name: why for name, why in checks.items() if why}


def report(what: str, checks: Checks) -> str:
    """As Kubernetes writes it for `?verbose`."""
    lines = [f"[-]{name} failed: {why}" if why else f"[+]{name} ok" for name, why in checks.items()]
    verdict = "failed" if failures(checks) else "passed"
    return "\n".join([*lines, f"{what} check {verdict}", ""])
