"""A disk, measured here and now: what a flush takes, and whether it can be believed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ironkv.storage.room import mount
from ironkv.tools.ctl.findings import Finding, fine, trouble, warning
from ironkv.tools.ctl.machines import IN_MEMORY, filesystem, quick

FLUSHES: Final = 200
LONGEST_S: Final = 10.0
QUICK_US: Final = 30
"""Below that a flush of 4 KiB has not been to any medium that keeps it without current."""
SLOW_US: Final = 20_000
VERY_SLOW_US: Final = 100_000


class Flushes(NamedTuple):
    """What writing 4 KiB and fdatasync took: microseconds."""

    median: float
    p99: float
    worst: float


def judge(directory: Path) -> Iterator[Finding]:
    """Raises OSError when nothing can be written there."""
    on = mount(directory)
    yield from filesystem(str(directory), on.kind, on.options)
    took = measure(directory)
    shown = f"a flush of 4 KiB: median {took.median / 1000:.2f} ms, p99 {took.p99 / 1000:.2f} ms, worst {took.worst / 1000:.1f} ms"
    who = f"{directory} ({on.kind})"
    if took.p99 > VERY_SLOW_US:
        yield trouble("this disk", f"{who}: {shown}. Writes wait that long, and leaders will not last")
    elif took.p99 > SLOW_US:
        yield warning(
            "this disk", f"{who}: {shown}. Raise raft.election_timeout_ms, or find what else uses the disk"
        )
    else:
        yield fine("this disk", f"{who}: {shown}")
    if took.median < QUICK_US and on.kind not in IN_MEMORY:
        yield quick(str(directory), took.median)
    if cache := write_cache(directory):
        yield fine(
            "this disk",
            f"its cache is {cache}" + (", so a flush has to empty it" if cache == "write back" else ""),
        )


def measure(directory: Path) -> Flushes:
    """As the journal does it: small writes, each flushed."""
    took: list[float] = []
    give_up = time.monotonic() + LONGEST_S
    with tempfile.TemporaryFile(dir=directory, prefix="ironkv-doctor-", buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(b"\xa5" * 4096)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1e6)
            if time.monotonic() > give_up:
                break
    took.sort()
    return Flushes(took[len(took) // 2], took[int(len(took) * 0.99)], took[-1])


def write_cache(directory: Path) -> str:
    """`write back` or `write through`, as the kernel has it of the device; empty where it does not say."""
    device = os.stat(directory).st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
    for holder in (block, block.parent):  # a partition's queue is its disk's
        try:
            return (holder / "queue" / "write_cache").read_text().strip()
        except OSError:
            continue
    return ""
