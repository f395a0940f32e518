"""Random searches for keys."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import any_integers, call, option, options

patterns = st.one_of(
    st.sampled_from(
        [b"*", b"a", b"?", b"k*", b"*1", b"{a}*", b"[a-c]", b"[^a]", b"key:[0-9]", b"", b"k\\\xff*"]
    ),
    st.text(alphabet="ab*?[]^-\\1", max_size=6).map(str.encode),
)
types = st.sampled_from([b"string", b"list", b"STRING", b"hash", b"set", b"zset", b"stream", b"junk"])

COMMANDS = [
    call("KEYS", patterns),
    call(
        "SCAN",
        st.one_of(st.just(b"0"), st.just(b"0"), any_integers),
        options(option("MATCH", patterns), option("COUNT", any_integers), option("TYPE", types)),
    ),
]
