"""Which block holds the n-th element, and how many elements stand before a block.

Long collections are kept in blocks of a few hundred elements. The sizes of the blocks form a Fenwick
tree, in which a size changes, and a sum or a place is found, in O(log blocks). When blocks come or go the
tree is dropped, and built anew when somebody asks next: a block comes once in hundreds of insertions.

https://en.wikipedia.org/wiki/Fenwick_tree
"""

from __future__ import annotations

from collections.abc import Iterable


class Positions:
    """`_tree[i]` (from 1) is the sum of the `i & -i` sizes that end with block i - 1."""

    __slots__ = ("_top", "_tree")

    def __init__(self, sizes: Iterable[int]) -> None:
        tree = [0, *sizes]
        for place in range(1, len(tree)):
            parent = place + (place & -place)
            if parent < len(tree):
                tree[parent] += tree[place]
        self._tree = tree
        self._top = 1 << len(tree).bit_length() - 1
        """The largest power of two that may be a place."""

    def add(self, block: int, amount: int) -> None:
        """A block has grown, or shrunk."""
        tree, place = self._tree, block + 1
        while place < len(tree):
            tree[place] += amount
            place += place & -place

    def before(self, block: int) -> int:
        """How many elements stand in the blocks before this one."""
        tree, total = self._tree, 0
        while block:
            total += tree[block]
            block &= block - 1
        return total

    def find(self, index: int) -> tuple[int, int]:
        """The block that holds element `index`, which must exist, and its place there."""
        tree, block, step = self._tree, 0, self._top
        while step:
            further = block + step
            if further < len(tree) and tree[further] <= index:
                block = further
                index -= tree[further]
            step >>= 1
        return block, index
