"""What random commands look like: one file per group of commands, all of them in `ALL`.

A new data type adds a file with a list of strategies, each giving an argument list, enters it in
`GROUPS`, and says in `compare.MEANINGS` which of its replies have no order.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies import (
    bitmaps,
    dumping,
    expiration,
    hashes,
    keys,
    lists,
    scanning,
    sets,
    streams,
    strings,
    zsets,
)
from tests.commands.strategies.common import Args, spoiled

GROUPS: dict[str, list[st.SearchStrategy[Args]]] = {
    "strings": strings.COMMANDS,
    "keys": keys.COMMANDS,
    "dumping": dumping.COMMANDS,
    "lists": lists.COMMANDS,
    "zsets": zsets.COMMANDS,
    "expiration": expiration.COMMANDS,
    "scanning": scanning.COMMANDS,
    "hashes": hashes.COMMANDS,
    "sets": sets.COMMANDS,
    "streams": streams.COMMANDS,
    "bitmaps": bitmaps.COMMANDS,
}

SOUND: st.SearchStrategy[Args] = st.one_of([st.one_of(group) for group in GROUPS.values()])
ALL: st.SearchStrategy[Args] = st.one_of(SOUND, SOUND, SOUND, spoiled(SOUND))
SEQUENCES: st.SearchStrategy[list[Args]] = st.lists(ALL, min_size=1, max_size=40)
