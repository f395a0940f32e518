"""The state machine: committed entries in, replies out. The same on every replica, by construction:
it sees entries and nothing else, in particular no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from ironkv import batch
from ironkv.commands.stretches import stretches
from ironkv.commands.table import Handler, find
from ironkv.commands.write_handlers import WRITE_HANDLERS
from ironkv.errors import CommandError, Fault
from ironkv.keyspace import thresholds
from ironkv.keyspace.keyspace import Keyspace
from ironkv.raft.configuration import ALONE, Configuration
from ironkv.raft.messages import Entry, EntryKind
from ironkv.resp.replies import Reply

log = logging.getLogger(__name__)

PURGE_MOST: Final = 1_000
"""Dead keys freed per entry: enough to keep up, too few to stall a loop turn."""


class Machine:
    """The keyspace and how far the log is applied to it."""

    def __init__(self) -> None:
        self.keyspace = Keyspace()
        self.applied = 0
        self.membership = 0, ALONE
        """The newest applied entry that says who belongs to the cluster, and what it says. At 0: what the
        data directory began with."""
        self.failures = 0
        """Commands that were answered with an error."""
        self.handlers: Mapping[bytes, Handler] = WRITE_HANDLERS

    def apply(self, entry: Entry) -> None:
        """Apply the next entry, for whoever needs no replies."""
        if entry.kind is EntryKind.BATCH:
            stamp_ms, items = batch.decode(entry.data)
            self.run(entry.index, stamp_ms, items, _no_rides)
        else:
            self.skip(entry.index)
            if entry.kind is EntryKind.CONFIG:
                self.membership = entry.index, Configuration.decode(entry.data)

    def skip(self, index: int) -> None:
        """An entry without commands."""
        if index != self.applied + 1:
            raise Fault(f"entry {index} does not follow the applied index {self.applied}")
        self.applied = index

    def run(self, index: int, stamp_ms: int, items: list[Any], ride: Callable[[Any], Reply]) -> list[Reply]:
        """Apply the items of entry `index`; their replies in order.

        The leader may have put other things between the writes (reads that must see them, see
        `node.proposals`): `ride` answers those. They change nothing.
        """
        self.skip(index)
        keyspace = self.keyspace
        keyspace.advance(stamp_ms)
        keyspace.entry = index
        now_ms = keyspace.stamp_ms
        keyspace.writing = True
        thresholds.in_force = keyspace.thresholds
        keyspace.purge(PURGE_MOST)
        database = keyspace.database(0)
        handlers = self.handlers
        replies: list[Reply] = []
        append = replies.append
        for stretch, together in stretches(items):
            if together is not None and keyspace.listener is None:
                try:
                    replies += together(database, stretch)
                    continue
                except CommandError:
                    pass  # nothing was done: each is told for itself
                except Exception as error:  # half done, and not alike on all replicas
                    raise Fault(f"entry {index} could not be applied: {error!r}") from error
            for item in stretch:
                if type(item) is list:
                    try:
                        append((handlers.get(item[0]) or find(item).handler)(database, item, now_ms))
                    except CommandError as error:
                        self.failures += 1
                        # Its traceback would hold this frame, and that the replies: a circle.
                        append(error.with_traceback(None))
                    except (MemoryError, RecursionError) as error:
                        raise Fault(f"entry {index} could not be applied: {error!r}") from error
                    except Exception:
                        # The same code meets the same state on every replica: all of them come here.
                        log.exception("entry %d: %r failed", index, item[0])
                        append(CommandError("ERR internal error, see the node's log"))
                elif type(item) is int:
                    database = keyspace.database(item)
                else:
                    append(ride(item))
        thresholds.in_force = thresholds.DEFAULT
        keyspace.writing = False
        return replies


def _no_rides(item: Any) -> Reply:
    raise Fault(f"an entry holds a {type(item).__name__} where a command belongs")
