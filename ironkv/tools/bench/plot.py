"""The throughput as a picture: plain SVG, one bar per server and workload."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ironkv.tools.bench.partners import IRONKV, REDIS_ALWAYS, REDIS_MEMORY, TITLES
from ironkv.tools.bench.throughput import Cell

SERIES = ((IRONKV, "#c2410c"), (REDIS_ALWAYS, "#64748b"), (REDIS_MEMORY, "#cbd5e1"))
WIDTH, LEFT, RIGHT, TOP = 860, 190, 120, 84
BAR, GAP = 14, 12


def throughput(cells: Sequence[Cell], caption: str) -> str:
    """One group of bars per workload; every pipeline depth has a scale of its own, for they are far apart."""
    group = BAR * len(SERIES) + GAP
    height = TOP + group * len(cells) + 16
    best = {
        depth: max(c.per_second(name) for c in cells if c.workload.pipeline == depth for name, _ in SERIES)
        for depth in {cell.workload.pipeline for cell in cells}
    }
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(16, 26, "Commands per second", size=17),
        _text(16, 46, caption, color="#64748b", size=11),
        *_legend(),
    ]
    for i, cell in enumerate(cells):
        top = TOP + i * group
        workload = cell.workload
        label = f"{workload.operation}  {workload.clients} conn.  pipeline {workload.pipeline}"
        parts.append(_text(LEFT - 10, top + BAR * len(SERIES) / 2 + 4, label, anchor="end"))
        for j, (name, color) in enumerate(SERIES):
            rate = cell.per_second(name)
            length = (WIDTH - LEFT - RIGHT) * rate / best[workload.pipeline]
            y = top + j * BAR
            note = f"{rate:,.0f}" + (f"  (×{cell.ratio(name):.2f})" if name != IRONKV else "")
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 2}" fill="{color}"/>')
            parts.append(_text(LEFT + length + 6, y + BAR - 4, note, size=10, color="#334155"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _legend() -> list[str]:
    parts, x = [], 16.0
    for name, color in SERIES:
        title = TITLES[name] + ("" if name == IRONKV else "  (×: IronKV to it)")
        parts.append(f'<rect x="{x:.0f}" y="58" width="12" height="12" fill="{color}"/>')
        parts.append(_text(x + 18, 68, title))
        x += 40 + 6.4 * len(title)
    return parts


def _text(
    x: float, y: float, words: str, *, anchor: str = "start", size: int = 12, color: str = "#0f172a"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}">'
        f"{escape(words)}</text>"
    )
