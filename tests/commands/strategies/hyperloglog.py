"""Random commands on HyperLogLogs."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.commands.strategies.common import Args, call, several, texts

SHORT_RUNS = bytes(byte & 0xBF for byte in range(256))
"""No runs of two bytes: Redis reads and writes behind the end of a last one that is cut off."""

few_keys = st.sampled_from([b"a", b"b", b"c", b"{a}1"])


def _many(first: int, count: int) -> Args:
    return [b"%d" % n for n in range(first, first + count)]


many = st.builds(_many, st.integers(0, 3_000), st.sampled_from([10, 100, 800, 2_000]))
elements = st.one_of(texts, st.integers(0, 100).map(lambda n: b"%d" % n))
broken = st.one_of(
    st.builds(
        lambda start, runs: b"HYLL\x01" + bytes(10) + b"\x80" + start + runs.translate(SHORT_RUNS),
        st.sampled_from([b"", b"\x7f\xf0", b"\x7f\xfe", b"\x40\x00"]),
        st.binary(max_size=30),
    ),
    st.sampled_from(
        [
            b"HYLL", b"HYLL\x02" + bytes(20), b"HYLL\0" + bytes(20), b"HYLL\x01" + bytes(11),
            b"hyll" + bytes(20),
            b"HYLL\x01" + bytes(3) + b"\x2a" + bytes(7) + b"\x7f\xff", b"HYLL\0" + bytes(12_299),
            b"HYLL\0" + bytes(10) + b"\x80" + bytes(range(256)) * 48,
            b"HYLL\x01\1\2\3" + bytes(7) + b"\x80\x7f\xfe\x87", b"HYLL\x01" + bytes(10) + b"\x80\x7f\xfe\x88",
        ]
    ),
)  # fmt: skip

COMMANDS: list[st.SearchStrategy[Args]] = [
    call("PFADD", few_keys),
    call("PFADD", few_keys, several(elements)),
    call("PFADD", few_keys, several(elements)),
    call("PFADD", few_keys, many),
    call("PFADD", few_keys, many),
    call("PFCOUNT", several(few_keys, most=3)),
    call("PFCOUNT", few_keys),
    call("PFMERGE", several(few_keys, most=3)),
    call("PFMERGE", few_keys, several(few_keys, most=2)),
    call("GET", few_keys),
    call("GET", few_keys),
    call("SET", few_keys, broken),
]
