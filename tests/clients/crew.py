"""Programs that run side by side, a few at a time, each within a time limit and with all it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

SIDE_BY_SIDE = 3
LIMIT_S = 180
_SHOWN = 6_000


class Crew:
    """Start many; ask for the outcome of each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pool = ThreadPoolExecutor(SIDE_BY_SIDE)
        self._outcomes: dict[str, Future[str]] = {}

    def send(self, name: str, command: Sequence[str]) -> None:
        """Let it run as soon as it is its turn."""
        self._outcomes[name] = self._pool.submit(run, command, self._directory)

    def outcome(self, name: str) -> str:
        """What the program printed. A program that failed raises AssertionError with that."""
        return self._outcomes[name].result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)


def run(command: Sequence[str], directory: Path, stdin: bytes = b"", limit_s: float = LIMIT_S) -> str:
    """Run to the end, workers included; what it printed, or an AssertionError with that."""
    process = subprocess.Popen(
        command,
        cwd=directory,
        env=_surroundings(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        printed, _ = process.communicate(stdin, limit_s)
    except subprocess.TimeoutExpired:
        _end(process)
        printed, _ = process.communicate()
        raise AssertionError(f"not done within {limit_s:g} s: {command}\n{_tail(printed)}") from None
    finally:
        _end(process)
    assert process.returncode == 0, f"exit status {process.returncode}: {command}\n{_tail(printed)}"
    return printed.decode(errors="replace")


def _end(process: subprocess.Popen[bytes]) -> None:
    """The program and what it left running: its session is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _tail(printed: bytes) -> str:
    return printed[-_SHOWN:].decode(errors="replace")


def _surroundings() -> Mapping[str, str]:
    """No settings of the user's or of a Django project nearby."""
    foreign = ("IRONKV_", "DJANGO_", "CELERY_", "RQ_", "REDISCLI_", "NODE_OPTIONS")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
