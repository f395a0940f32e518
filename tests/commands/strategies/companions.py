"""What happens to a value of any type while its own commands are under test."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies import expiration
from tests.commands.strategies.common import Args, call, keys, option, options, several, spoiled, texts

COMMANDS = [
    call("DEL", several(keys, most=2)),
    call("RENAME", keys, keys),
    call("COPY", keys, keys, options(option("REPLACE"), most=1)),
    call("TYPE", keys),
    call("EXISTS", several(keys)),
    call("OBJECT", option("ENCODING", keys)),
    call("SET", keys, texts),
    st.one_of(expiration.COMMANDS),
]


def sequences(*groups: list[st.SearchStrategy[Args]]) -> st.SearchStrategy[list[Args]]:
    """Mostly commands of these groups."""
    sound = st.one_of([st.one_of(group) for group in groups])
    company = st.one_of(COMMANDS)
    encodings = call("OBJECT", option("ENCODING", keys))
    each = st.one_of(sound, sound, sound, sound, sound, company, encodings, spoiled(sound))
    return st.lists(each, min_size=1, max_size=40)
