"""Whole nodes under faults: fresh seeds for a while, and every seed that ever failed (`tests.sim.whole`)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.sim.whole.cluster import run

FRESH_S = 60.0
"""For how long fresh seeds are run."""
FRESH_MOST = 300
FAILED = Path(__file__).parent / "whole" / "failed_seeds.txt"


def failed_seeds() -> list[int]:
    lines = (line.split("#")[0].strip() for line in FAILED.read_text().splitlines())
    return [int(line) for line in lines if line]


def run_one(seed: int) -> None:
    try:
        run(seed)
    except Exception as error:
        pytest.fail(f"{type(error).__name__}: {error}\nreplay: ./tools/sim --replay {seed}", pytrace=False)


def test_seeds_that_failed_once() -> None:
    for seed in failed_seeds():
        run_one(seed)


def test_fresh_seeds() -> None:
    first, until = random.SystemRandom().randrange(1 << 40), time.monotonic() + FRESH_S
    for seed in range(first, first + FRESH_MOST):
        run_one(seed)
        if time.monotonic() > until:
            break


def test_a_seed_is_a_run() -> None:
    """However Python hashes strings: else a failure could not be replayed."""
    traces = [
        subprocess.run(
            [sys.executable, "-m", "tests.sim.whole", "--replay", "12"],
            env={**os.environ, "PYTHONHASHSEED": salt},
            capture_output=True,
            check=True,
            timeout=120,
        ).stdout
        for salt in ("1", "2")
    ]
    assert traces[0] == traces[1]
