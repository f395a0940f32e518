"""What the HELP of a container command says."""

from __future__ import annotations

from ironkv.resp.replies import Status


def help_of(container: str, text: str) -> list[Status]:
    """The reply: a line of Redis's own, the lines of `text`, and HELP's own entry."""
    lines = [
        f"{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        *text.strip("\n").splitlines(),
        "HELP",
        "    Print this help.",
    ]
    return [Status(line.encode()) for line in lines]
