"""Random commands on keys of any type, and on databases."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import any_integers, call, keys, option, options, several, texts

databases = st.one_of(
    st.sampled_from([b"0", b"1", b"0", b"1", b"15"]), st.sampled_from([b"16", b"-1"]), any_integers
)

COMMANDS = [
    call("DEL", several(keys)),
    call("UNLINK", several(keys)),
    call("EXISTS", several(keys)),
    call("TOUCH", several(keys)),
    call("TYPE", keys),
    call("RANDOMKEY"),
    call("RENAME", keys, keys),
    call("RENAMENX", keys, keys),
    call("COPY", keys, keys, options(option("REPLACE"), option("DB", databases))),
    call("MOVE", keys, databases),
    call("DBSIZE"),
    call("FLUSHDB", options(option("ASYNC"), option("SYNC"), most=1)),
    call("FLUSHALL", options(option("ASYNC"), option("SYNC"), most=1)),
    call("SWAPDB", databases, databases),
    call("SELECT", st.sampled_from([b"0", b"1"])),
    call("LPUSH", keys, texts),
    call("OBJECT", option("ENCODING", keys)),
    call("OBJECT", option("REFCOUNT", keys)),
    call("OBJECT", option("IDLETIME", keys)),
    call("OBJECT", option("FREQ", keys)),
    call("OBJECT", option("HELP")),
]
