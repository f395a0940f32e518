"""What the measurements ran on."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from ironkv.storage.room import filesystem

ROOT = Path(__file__).resolve().parents[3]
IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_FSYNCS = 200


@dataclass(frozen=True, slots=True)
class Machine:
    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    filesystem: str
    fsync_ms_median: float
    fsync_ms_p99: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.cores} cores of {self.cpu}, {self.memory_gib:g} GiB, {self.system}, Python {self.python};"
            f" {self.filesystem}, fsync of 4 KiB: median {self.fsync_ms_median:.2f} ms,"
            f" p99 {self.fsync_ms_p99:.2f} ms"
        )


def describe(directory: Path) -> Machine:
    """This machine, and the disk that `directory` is on."""
    median, p99 = fsync_latency_ms(directory)
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
        filesystem=filesystem(directory),
        fsync_ms_median=median,
        fsync_ms_p99=p99,
    )


def disk_directory(wanted: Path | None) -> Path:
    """Where to put the data: a durable store that is measured in memory would only flatter itself."""
    if wanted is not None:
        wanted.mkdir(parents=True, exist_ok=True)
        return wanted
    for candidate in (Path(tempfile.gettempdir()), ROOT / "data"):
        if filesystem(candidate) not in IN_MEMORY:
            return candidate
    raise SystemExit("no directory on a real disk found: name one with --data-dir")


def fsync_latency_ms(directory: Path) -> tuple[float, float]:
    """Median and 99th percentile of a small write with fsync."""
    took = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(_FSYNCS):
            file.write(b"\xa5" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return round(statistics.median(took), 3), round(took[int(len(took) * 0.99)], 3)


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() in ("model name", "Model"):
                return " ".join(value.split())
    except OSError:
        pass
    return platform.processor() or platform.machine()
