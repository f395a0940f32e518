"""A real file system of some MB, mounted for a test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(mount: Path, size_kb: int) -> Iterator[Path]:
    """An empty one. Skips the test, loudly, where mounting is not allowed."""
    mount.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", f"size={size_kb}k", "ironkv-test", str(mount)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("NOT TESTED: a full disk. Mounting a small file system needs root and the right to mount")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
