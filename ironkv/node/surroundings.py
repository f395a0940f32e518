"""What this machine gives the node, as the machine tells it: limits, memory, disk, clock.

Only facts are told here; `ironkv-ctl doctor` judges them, for all nodes side by side. What a system does not
tell is left out.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ironkv.storage.room import mount

if TYPE_CHECKING:
    from ironkv.node.node import Node

THP: Final = Path("/sys/kernel/mm/transparent_hugepage")
MEMORY_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
UNLIMITED: Final = 1 << 60
"""What cgroups write for no limit is about this large."""


def surroundings(node: Node) -> dict[str, object]:
    """Bytes, microseconds and counts, unless the name says otherwise."""
    return dict(
        [
            *_clock(),
            *_limits(),
            *_memory(),
            *_network(),
            *_disk(Path(node.settings.node.data_dir)),
            *_times(node),
        ]
    )


Facts = Iterator[tuple[str, object]]


def _clock() -> Facts:
    yield "clock_usec", time.time_ns() // 1000
    yield "cores", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _limits() -> Facts:
    for name, which in (("open_files", resource.RLIMIT_NOFILE), ("address_space", resource.RLIMIT_AS)):
        soft, _ = resource.getrlimit(which)
        if soft != resource.RLIM_INFINITY:
            yield name, soft


def _memory() -> Facts:
    for path in MEMORY_LIMITS:
        text = _read(path)
        if text.isdigit() and int(text) < UNLIMITED:
            yield "memory_limit", int(text)
    swapped = re.search(r"^VmSwap:\s+(\d+) kB", _read("/proc/self/status"), re.MULTILINE)
    if swapped:
        yield "memory_swapped", int(swapped[1]) * 1024
    if text := _read("/proc/sys/vm/overcommit_memory"):
        yield "overcommit_memory", text
    for name, file in (("thp", "enabled"), ("thp_defrag", "defrag")):
        if chosen := re.search(r"\[(.+?)\]", _read(THP / file)):
            yield name, chosen[1]


def _network() -> Facts:
    if text := _read("/proc/sys/net/core/somaxconn"):
        yield "somaxconn", text


def _disk(directory: Path) -> Facts:
    on = mount(directory)
    yield "disk_filesystem", on.kind
    yield "disk_options", on.options
    with contextlib.suppress(OSError):
        space = os.statvfs(directory)
        yield "disk_total", space.f_blocks * space.f_frsize
        yield "disk_free", space.f_bavail * space.f_frsize


def _times(node: Node) -> Facts:
    """Of the journal's writes, flushes included, and of the loop, since the start."""
    took, late = node.storage.writer.took, node.meter.late
    yield "journal_writes", took.count
    yield "journal_p50_usec", took.percentile(50)
    yield "journal_p99_usec", took.percentile(99)
    yield "loop_late_p99_usec", late.percentile(99)


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
