"""Open files: every client is one, and the system lets a process have so many."""

from __future__ import annotations

import resource
from typing import Final

OWN_FILES: Final = 128
"""Files that are not clients: the journal, the peers, the log."""


def allow_clients(wanted: int) -> int:
    """Raise the limit on open files to what so many clients need; how many clients the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + OWN_FILES
    if soft == resource.RLIM_INFINITY or files <= soft:
        return wanted
    most = files if hard == resource.RLIM_INFINITY else min(files, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    return max(soft, most) - OWN_FILES
