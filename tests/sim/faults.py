"""How bad the weather is in one run."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Weather:
    """Rates are probabilities per message or per write; times are milliseconds."""

    loss: float
    repeat: float
    delay: float
    late: float
    """How many messages arrive much later, when everything has changed."""
    late_by: float
    slow_disk: float
    slow_by: float
    drift: float
    """Clocks run at rates within 1 ± drift; the lease is built for 0.11 (reads.py)."""
    trouble_every: float
    """Between two events like a crash, a cut, a pause."""
    troubles: tuple[str, ...]


TROUBLES = (
    "crash",
    "blink",
    "cut",
    "one way",
    "deaf",
    "mute",
    "heal",
    "pause",
    "transfer",
    "second thoughts",
    "stall",
    "flap",
    "outage",
    "wipe",
    "amnesia",
    "change",
    "change",
)


def draw(chance: random.Random) -> Weather:
    """Mild in one way and wild in another: much of everything hides what only one kind brings out."""
    picked = tuple(trouble for trouble in TROUBLES if chance.random() < 0.6)
    return Weather(
        loss=chance.choice((0, 0, 0.01, 0.1)),
        repeat=chance.choice((0, 0.02, 0.1)),
        delay=chance.choice((0.3, 1, 5, 20, 60)),
        late=chance.choice((0, 0.005, 0.03)),
        late_by=chance.choice((100, 500, 1500)),
        slow_disk=chance.choice((0, 0.02, 0.2)),
        slow_by=chance.choice((20, 200, 900)),
        drift=chance.choice((0, 0.05, 0.1)),
        trouble_every=chance.choice((80, 200, 500)),
        troubles=picked or TROUBLES,
    )


CALM = Weather(
    loss=0,
    repeat=0,
    delay=0.5,
    late=0,
    late_by=0,
    slow_disk=0,
    slow_by=0,
    drift=0,
    trouble_every=float("inf"),
    troubles=(),
)
