"""Frames: every message comes through as it was, and nothing else gets in."""

from __future__ import annotations

from dataclasses import fields
from math import isfinite
from typing import Any, get_type_hints
from zlib import crc32

import msgpack
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ironkv.peers import wire
from ironkv.peers.wire import Frames, Hello, Mail, Published, Pulse, WireError
from ironkv.raft import messages as raft
from ironkv.raft.messages import Append, Entry, EntryKind, Message

FRAME_MAX = 1 << 20
number = st.integers(0, wire.NUMBER_MAX - 8)


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, tuple[Entry, ...]]:
    """(prev_index, the entries behind it)."""
    prev = draw(number)
    datas = draw(st.lists(st.binary(max_size=300), max_size=4))
    kinds = st.sampled_from(EntryKind)
    return prev, tuple(Entry(prev + 1 + i, draw(number), draw(kinds), d) for i, d in enumerate(datas))


@st.composite
def appends(draw: st.DrawFn) -> Append:
    prev, entries = draw(runs())
    numbers = draw(number), draw(number), draw(number)
    return Append("a", "b", draw(number), prev, *numbers, entries, draw(st.booleans()))


def of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    by_type = {int: number, bool: st.booleans(), int | None: st.none() | number}
    values = [by_type[hints[field.name]] for field in fields(kind)[2:]]
    return st.builds(lambda *v: kind("a", "b", *v), *values)


any_message: st.SearchStrategy[Message] = st.one_of(
    appends(), *(of(kind) for kind in wire._TYPES if kind is not Append)
)


def cut(stream: bytes, *, trusted: bool = True) -> list[bytes]:
    frames = Frames(FRAME_MAX)
    if trusted:
        frames.trust()
    return frames.feed(stream)


def frame(body: bytes) -> bytes:
    return wire.HEAD.pack(len(body), crc32(body)) + body


def test_every_message_has_a_number() -> None:
    assert set(wire._TYPES) == set(Message.__args__)  # type: ignore[attr-defined]
    for kind in wire._TYPES:
        assert [f.name for f in fields(kind)][:2] == ["sender", "to"]


@given(st.lists(any_message, max_size=5), st.floats(0, 1e15), st.floats(0, 1e15))
def test_mail_comes_through(mail: list[Message], wall_ms: float, cluster_ms: float) -> None:
    (body,) = cut(wire.mail(mail, wall_ms, cluster_ms))
    assert wire.parse(body, "a", "b") == Mail(wall_ms, cluster_ms, mail)


@given(st.text(max_size=50), st.text(max_size=50), number)
def test_hello_comes_through(cluster: str, node: str, birth: int) -> None:
    (body,) = cut(wire.hello(cluster, node, birth), trusted=False)
    assert wire.parse(body, "", "b") == Hello(wire.VERSION, cluster, node, birth)


@pytest.mark.parametrize("later", [(), (1,), (1, 2), ("x", [3])])
def test_of_another_version_only_the_number_matters(later: tuple[object, ...]) -> None:
    """So that an operator reads of a version, not of malformed bytes, in the middle of an upgrade."""
    (body,) = cut(wire._frame((0, wire.VERSION + 1, "c", "n", *later)))
    assert wire.parse(body, "", "b") == Hello(wire.VERSION + 1, "c", "n", 0)


@given(number)
def test_a_pulse_comes_through(term: int) -> None:
    (body,) = cut(wire.pulse(term))
    assert wire.parse(body, "a", "b") == Pulse(term)


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=20), st.binary(max_size=2000))))
def test_what_is_published_comes_through(messages: list[tuple[bool, bytes, bytes]]) -> None:
    (body,) = cut(wire.published(messages))
    assert wire.parse(body, "a", "b") == Published(messages)


@pytest.mark.parametrize(
    "message",
    [b"", (), (False, b"a"), (0, b"a", b"b"), (None, b"a", b"b"), (False, "a", b"b"), (False, b"a", 1),
     (True, b"a", b"b", b"c"), 7, None, {}],
)  # fmt: skip
def test_what_is_published_must_be_well_formed(message: object) -> None:
    (body,) = cut(wire._frame((5, (False, b"good", b"one"), message)))
    with pytest.raises(WireError):
        wire.parse(body, "a", "b")


def test_who_speaks_is_decided_by_the_connection() -> None:
    (body,) = cut(wire.mail([raft.Vote("a", "b", 7, 1, 1, True)], 0, 0))
    mail = wire.parse(body, "mallory", "me")
    assert isinstance(mail, Mail)
    assert (mail.messages[0].sender, mail.messages[0].to) == ("mallory", "me")


# -- streams


def test_every_split_of_a_stream() -> None:
    vote = raft.Vote("a", "b", 7, 1, 1, True)
    stream = wire.hello("c", "a") + wire.mail([], 1, 2) + wire.pulse(3) + wire.mail([vote], 3, 4)
    wanted = cut(stream)
    assert len(wanted) == 4
    for first in range(len(stream) + 1):
        for second in range(first, len(stream) + 1, 7):
            frames = Frames(FRAME_MAX)
            pieces = stream[:first], stream[first:second], stream[second:]
            assert [body for piece in pieces for body in frames.feed(piece)] == wanted


def test_byte_by_byte() -> None:
    frames = Frames(FRAME_MAX)
    stream = wire.hello("c", "a") * 3
    assert sum(len(frames.feed(stream[i : i + 1])) for i in range(len(stream))) == 3


@pytest.mark.parametrize("size", [513, 1 << 20, (1 << 32) - 1])
def test_a_stranger_may_announce_little(size: int) -> None:
    with pytest.raises(WireError, match=f"{size} bytes, 512 are allowed"):
        cut(wire.HEAD.pack(size, 0), trusted=False)


def test_a_peer_may_announce_more_but_not_anything() -> None:
    assert cut(wire.HEAD.pack(FRAME_MAX, 0)) == []
    with pytest.raises(WireError):
        cut(wire.HEAD.pack(FRAME_MAX + 1, 0))


def test_every_flipped_bit_is_noticed() -> None:
    stream = wire.mail([raft.AppendReply("a", "b", 7, 3, 9)], 1, 2)
    for place in range(len(stream)):
        for bit in range(8):
            damaged = bytearray(stream)
            damaged[place] ^= 1 << bit
            try:
                bodies = cut(bytes(damaged))
            except WireError:
                continue
            assert bodies == [], "a length that grew waits for more, and then does not verify"
            assert place < 4


@given(st.lists(st.binary(max_size=100), max_size=10))
def test_noise_raises_nothing_else(chunks: list[bytes]) -> None:
    frames = Frames(FRAME_MAX)
    try:
        for chunk in chunks:
            for body in frames.feed(chunk):
                wire.parse(body, "a", "b")
    except WireError:
        pass


def test_a_frame_in_many_pieces_is_kept_once() -> None:
    frames = Frames(FRAME_MAX)
    frames.trust()
    stream = frame(msgpack.packb((1, 0, 0, [])) + b"")
    big = frame(bytes(1 << 19))
    assert frames.feed(stream + big[:-1])[0]
    for _ in range(3):
        assert frames.feed(b"") == []
    assert len(frames._buffer) == len(big) - 1


# -- what peers must not get in


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=30,
)
near = st.tuples(st.integers(0, 9), *[plain] * 8).flatmap(
    lambda t: st.integers(0, 9).map(lambda n: list(t)[:n] if n else list(t))
)
entry_like = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), plain, plain).map(list), max_size=3)
append_like = st.tuples(
    st.just(wire._APPEND), *[st.integers(-2, 1 << 64 - 1) | plain] * 5, entry_like | plain, st.booleans()
).map(list)
mails = st.tuples(
    st.just(1),
    st.floats() | plain,
    st.floats() | plain,
    st.lists(near | append_like | plain, max_size=3) | plain,
)


@settings(max_examples=400)
@given(plain | mails | st.tuples(st.integers(0, 3), plain, plain, plain) | st.tuples(st.just(2), plain))
@example((1, float("nan"), 0, []))
@example((1, 0, float("inf"), []))
@example((1, "1", b"2", []))
@example((1, 0, 0, [[7, -1, 1]]))
@example((1, 0, 0, [[7, (1 << 64) - 1, 1]]))
@example((1, 0, 0, [b"\x07\x01\x01"]))
@example((1, 0, 0, [[4, 1, 0, 0, 0, 1, [[1, -1, 1, b""]], False]]))
@example((1, 0, 0, [[4, 1, 0, 0, 0, 1, [[1, 1, True, b""]], False]]))
@example((False, wire.VERSION, "c", "n", 1))
@example((0, wire.VERSION, "c", "n", -1))
@example((0, wire.VERSION, "c", "n", True))
@example((0, wire.VERSION, "c", "n"))
@example((1.0, 0, 0, []))
@example((2, True))
@example((2, -1))
def test_only_what_is_well_typed_gets_in(body: Any) -> None:
    try:
        packed = msgpack.packb(body)
    except (ValueError, OverflowError):
        return
    try:
        found = wire.parse(packed, "a", "b")
    except WireError:
        return
    _check(found)


@settings(max_examples=300)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xc1")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91" * 100_000)
@example(b"\xd6\xff\x00\x00\x00\x00")
@example(b"\x94\x01\x00\x00\x91\xd6\xff\x00\x00\x00\x00")
@example(b"\x80")
@example(b"\xa1\xff")
def test_any_bytes_raise_nothing_else(body: bytes) -> None:
    try:
        found = wire.parse(body, "a", "b")
    except WireError:
        return
    _check(found)


@given(any_message, st.data())
def test_a_damaged_message_raises_nothing_else(message: Message, data: st.DataObject) -> None:
    """Bytes changed where no checksum looks: as a peer with a bug would send them."""
    (body,) = cut(wire.mail([message], 1.0, 2.0))
    damaged = bytearray(body)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = wire.parse(bytes(damaged), "a", "b")
    except WireError:
        return
    _check(found)


def _check(found: Hello | Mail | Pulse) -> None:
    """Whatever was let in is what it says it is."""
    if isinstance(found, Hello):
        assert [type(value) for value in found] == [int, str, str, int]
        assert _is_number(found.birth)
        return
    if isinstance(found, Pulse):
        assert _is_number(found.term)
        return
    for value in (found.wall_ms, found.cluster_ms):
        assert type(value) is float
        assert isfinite(value)
    for message in found.messages:
        hints = get_type_hints(type(message))
        for field in fields(message):
            value = getattr(message, field.name)
            wanted = hints[field.name]
            if field.name == "entries":
                assert type(value) is tuple
                for place, entry in enumerate(value, message.prev_index + 1):  # type: ignore[union-attr]
                    assert type(entry) is Entry
                    assert type(entry.index) is int
                    assert entry.index == place
                    assert _is_number(entry.term)
                    assert type(entry.kind) is EntryKind
                    assert type(entry.data) is bytes
            elif wanted is int or (wanted == int | None and value is not None):
                assert _is_number(value), field.name
            else:
                assert type(value) in (wanted, type(None) if wanted == int | None else wanted)


def _is_number(value: object) -> bool:
    """A term, an index or a count: what fits the journal's u64, with room to count on."""
    return type(value) is int and 0 <= value <= wire.NUMBER_MAX


@pytest.mark.parametrize("indices", [(6, 7), (5, 7), (5, 5), (4, 5)])
def test_entries_follow_one_another(indices: tuple[int, ...]) -> None:
    """Behind the entry that they are said to follow, without a gap."""
    entries = tuple(Entry(index, 1, EntryKind.BATCH, b"") for index in indices)
    frame = wire.mail([Append("a", "b", 1, 4, 1, 4, 1, entries, False)], 0.0, 0.0)
    with pytest.raises(WireError, match="out of order"):
        wire.parse(frame[wire.HEAD.size :], "a", "b")
