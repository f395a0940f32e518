"""Plants known bugs one by one in a copy of the tree, and asks the tests. See `--help`."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.plants import CORE, PLANTS, STORIES, WHOLE, Plant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("ironkv", "tests", "pyproject.toml", "config", "docs")
MEMORY = 4 << 30
"""Bytes of data a suite may have: a bug may make it grow. (Not address space: LMDB maps a terabyte.)"""

PYTEST = ("-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
SUITES: dict[str, tuple[int, tuple[str, ...]]] = {
    STORIES: (200, (*PYTEST, "tests/raft")),
    CORE: (300, ("-m", "tests.sim", "1", "60")),
    WHOLE: (600, ("-m", "tests.sim.whole", "-x", "--first", "1", "--seeds", "60", "--jobs", "1")),
}
"""For each its most seconds, and what to run; other names are files for pytest."""


def planted(plant: Plant, place: Path) -> None:
    """Put the bug into the copy. Raises SystemExit when its text is not there exactly once."""
    file = place / "ironkv" / plant.file
    text = file.read_text()
    if text.count(plant.old) != 1:
        sys.exit(f"stale: {plant.name!r} is found {text.count(plant.old)} times in {plant.file}")
    file.write_text(text.replace(plant.old, plant.new))


def ask(suite: str, place: Path) -> str | None:
    """What the suite complains about, or None."""
    seconds, arguments = SUITES.get(suite) or (600, (*PYTEST, suite))
    command = [
        "bash", "-c", f'ulimit -d {MEMORY // 1024}; exec "$@"', "mutate", sys.executable, *arguments,
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command, cwd=place, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return f"does not end within {seconds} s"
    if process.returncode == 0:
        return None
    complaint = re.search(r"^(FAILED .*|ERROR .*|seed .*)$", said, re.MULTILINE)
    return complaint.group(1)[:150] if complaint else said.strip().splitlines()[-1][:150]


def judge(plant: Plant, place: Path, *, every: bool) -> bool:
    """Whether any suite notices; with `every` all are asked."""
    caught = False
    for suite in plant.suites:
        complaint = ask(suite, place)
        if complaint is not None:
            caught = True
            print(f"    {suite}: {complaint}", flush=True)
            if not every:
                break
        else:
            print(f"    {suite}: notices nothing", flush=True)
    return caught


def check_suites(suites: set[str]) -> None:
    """Whoever complains without a bug proves nothing. Raises SystemExit."""
    with tempfile.TemporaryDirectory(prefix="ironkv-mutate-") as directory:
        copy(Path(directory))
        for suite in sorted(suites):
            complaint = ask(suite, Path(directory))
            if complaint is not None:
                sys.exit(f"{suite} complains without any bug: {complaint}")
    print(f"nothing planted: {', '.join(sorted(suites))} notice nothing")


def copy(place: Path) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/mutate", description="Does the suite notice known bugs?")
    parser.add_argument("--only", default="", metavar="WORDS", help="plants whose name has these words")
    parser.add_argument("--first", type=int, default=1, metavar="N", help="begin with plant number N")
    parser.add_argument("--every", action="store_true", help="ask all suites, not only until one notices")
    parser.add_argument(
        "--list", action="store_true", help="name the plants, and check that they fit the code"
    )
    asked = parser.parse_args()
    chosen = [plant for plant in PLANTS[asked.first - 1 :] if asked.only in plant.name]
    if not asked.list:
        check_suites({suite for plant in chosen for suite in plant.suites})
    survivors = []
    for number, plant in enumerate(chosen, 1):
        started = time.monotonic()
        print(f"{number}/{len(chosen)} {plant.name} ({plant.file})", flush=True)
        with tempfile.TemporaryDirectory(prefix="ironkv-mutate-") as directory:
            place = Path(directory)
            copy(place)
            planted(plant, place)
            if asked.list:
                continue
            if not judge(plant, place, every=asked.every):
                survivors.append(plant.name)
                print("    SURVIVES", flush=True)
        print(f"    {time.monotonic() - started:.0f} s", flush=True)
    if not asked.list:
        print(f"{len(chosen) - len(survivors)} of {len(chosen)} are caught")
        for name in survivors:
            print(f"  survives: {name}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
