"""What a doctor says."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Level(IntEnum):
    """How bad it is: the worst is the exit status of `ironkv-ctl doctor`."""

    FINE = 0
    WARNING = 1
    TROUBLE = 2


class Finding(NamedTuple):
    level: Level
    subject: str
    """What was looked at: `clocks`, `disk` …"""
    text: str
    """In plain words: what is so, what would come of it, what to do."""


def fine(subject: str, text: str) -> Finding:
    return Finding(Level.FINE, subject, text)


def warning(subject: str, text: str) -> Finding:
    return Finding(Level.WARNING, subject, text)


def trouble(subject: str, text: str) -> Finding:
    return Finding(Level.TROUBLE, subject, text)
