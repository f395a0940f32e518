"""Whether a journal can be the one that a node had when it took a snapshot.

A node takes a snapshot only of what its journal holds on disk, so the journal behind it reaches at least as
far. One that ends before is an older copy (a disk rolled back, a file put back from yesterday): what the node
promised since, votes and entries, is forgotten. But a snapshot that was received may be ahead of the journal:
a crash came between.
"""

from __future__ import annotations

from ironkv.storage.journal import Journal
from ironkv.storage.snapshots import Snapshots


def contradiction(journal: Journal, snapshots: Snapshots) -> str | None:
    """Why the two do not belong together, if so. Without its journal a node knows that it has forgotten
    everything; that is another matter."""
    newest = snapshots.newest
    if newest is None or journal.hard is None or newest.index in snapshots.received:
        return None
    if journal.last_index < newest.index:
        return (
            f"the journal ends at entry {journal.last_index}, but held entry {newest.index} when this node "
            "took its newest snapshot: it is an older copy, and what was promised since is forgotten"
        )
    held = journal.first_index <= newest.index + 1 and journal.commit >= newest.index
    if held and journal.term(newest.index) != newest.term:
        return (
            f"entry {newest.index} was committed in term {journal.term(newest.index)} as the journal has it, "
            f"and in term {newest.term} as the newest snapshot says: they are of different clusters"
        )
    return None
