"""How many nodes a radix tree has, of which XINFO STREAM tells: as Redis builds it, none is built here.

A key is a number of 128 bits, its 16 bytes being the path from the root. There is a node for every key, one
for every branching, and one for every run of bytes in which nothing branches, behind a branching's own byte.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

KEY_BYTES: Final = 16
_ROOT: Final = -1
"""What stands above the first branching, so that byte 0 is the byte behind it."""


def node_count(keys: Sequence[int]) -> int:
    """The nodes of a tree with these keys, which must ascend. O(keys)."""
    shared = [(8 * KEY_BYTES - (one ^ other).bit_length()) // 8 for one, other in pairwise(keys)]
    runs = sum(
        max(before, behind) + 1 < KEY_BYTES
        for before, behind in zip([_ROOT, *shared], [*shared, _ROOT], strict=True)
    )
    branchings = [(depth, above) for depth, above in _branchings(shared)]
    nodes = len(keys) + len(branchings) + sum(above + 1 < depth for depth, above in branchings)
    return nodes + runs if keys else 1


def _branchings(shared: list[int]) -> Iterator[tuple[int, int]]:
    """The depth of every branching and of the one above it, from the bytes that neighbouring keys share."""
    open_: list[int] = []
    for depth in [*shared, _ROOT]:
        while open_ and open_[-1] > depth:
            closed = open_.pop()
            yield closed, max(depth, open_[-1] if open_ else _ROOT)
        if depth != _ROOT and (not open_ or open_[-1] < depth):
            open_.append(depth)
