"""A figure that is promised, and how one that was measured compares with it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """It must reach `at_least`, and would like to reach `aim`."""

    name: str
    at_least: float
    aim: float
    unit: str = ""
    smaller_is_better: bool = False

    def mark(self, figure: float) -> str:
        if self._reaches(figure, self.aim):
            return "✅ aim"
        return "☑️ at least" if self._reaches(figure, self.at_least) else "❌ missed"

    def is_met(self, figure: float) -> bool:
        return self._reaches(figure, self.at_least)

    def _reaches(self, figure: float, wanted: float) -> bool:
        return figure <= wanted if self.smaller_is_better else figure >= wanted
