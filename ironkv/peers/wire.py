"""Frames between nodes.

    frame = length u32 | crc32 u32 | body          (big-endian; the crc covers the body)
    body  = msgpack([kind, …])
            [0, version, cluster, node, birth, nonce]
                                                   hello: the first frame in both directions; `birth` is a
                                                   random number made with the sender's data directory,
                                                   `nonce` one for this connection (peers.secret), or b""
            [1, wall_ms, cluster_ms, [message, …]] Raft messages; cluster_ms is 0 unless sent by the leader
            [2, term]                              pulse: the sender still leads this term (peers.pulse)
            [4, what, …]                           a snapshot on its way (node.transfer)
            [6, digest]                            proof of the cluster's secret (peers.secret)
            [5, [shard, channel, message], …]      published by the sender's clients; `shard` a boolean
            [7, number, argument, …]               what an operator wants of the leader (node.membership)
            [8, number, error]                     what became of it; "" once it is done
            [9, message, …]                        requests relayed to the leader, and replies (server.relays)
            [10, last, bytes]                      part of one such message, in order; `last` a boolean
    message = [type number, the fields of its class in order, without `sender` and `to`]

A frame's sender is who said hello on that connection, so nobody can speak for another node.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from math import isfinite
from struct import Struct
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgpack

from ironkv.errors import IronKVError
from ironkv.raft import messages as raft
from ironkv.raft.messages import Entry, EntryKind, Message

VERSION: Final = 6
"""Whoever says another number may not know all kinds of frames, and is refused at hello."""
HEAD: Final = Struct(">II")
HELLO_MAX: Final = 512
"""Before hello nobody is trusted with more than this many bytes."""
NUMBER_MAX: Final = 1 << 63
"""Terms, indices and counts lie below: what the journal can hold, with room to count on."""

_TYPES: Final[list[type[Any]]] = [
    raft.PreVote,
    raft.PreVoteReply,
    raft.Vote,
    raft.VoteReply,
    raft.Append,
    raft.AppendReply,
    raft.TimeoutNow,
    raft.ReadIndex,
    raft.ReadIndexReply,
]
_NUMBER: Final = {kind: number for number, kind in enumerate(_TYPES)}
_FIELDS: Final = [[field.name for field in fields(kind)][2:] for kind in _TYPES]
_APPEND: Final = _NUMBER[raft.Append]
_ENTRIES: Final = 1 + _FIELDS[_APPEND].index("entries")


class WireError(IronKVError):
    """Bytes that no well-behaved peer sends: drop the connection."""


class Hello(NamedTuple):
    version: int
    cluster: str
    node: str
    birth: int
    nonce: bytes = b""


class Proof(NamedTuple):
    """Of the cluster's secret, unchecked."""

    digest: bytes


class Mail(NamedTuple):
    """Messages of one frame."""

    wall_ms: float
    cluster_ms: float
    messages: list[Message]


class Parcel(NamedTuple):
    """Part of the transfer of a snapshot, unchecked."""

    content: list[Any]


class Published(NamedTuple):
    """What the clients of a node have published: (for a shard channel, channel, message)."""

    messages: list[tuple[bool, bytes, bytes]]


class Order(NamedTuple):
    """What an operator asked of a node that does not lead."""

    number: int
    arguments: list[bytes]


class Answer(NamedTuple):
    """What became of an order."""

    number: int
    error: str


class Relayed(NamedTuple):
    """Messages of `server.relays`, unchecked."""

    messages: list[Any]


class Fragment(NamedTuple):
    """Part of a large one."""

    last: bool
    data: bytes


class Pulse(NamedTuple):
    """The sender leads `term`, but its loop is busy."""

    term: int


def hello(cluster: str, node: str, birth: int = 0, nonce: bytes = b"") -> bytes:
    return _frame((0, VERSION, cluster, node, birth, nonce))


def proof(digest: bytes) -> bytes:
    return _frame((6, digest))


def mail(messages: Iterable[Message], wall_ms: float, cluster_ms: float) -> bytes:
    return _frame((1, wall_ms, cluster_ms, [_plain(message) for message in messages]))


def pulse(term: int) -> bytes:
    return _frame((2, term))


def parcel(content: list[Any]) -> bytes:
    return _frame((4, *content))


def published(messages: Iterable[tuple[bool, bytes, bytes]]) -> bytes:
    return _frame((5, *messages))


def order(number: int, arguments: Iterable[bytes]) -> bytes:
    return _frame((7, number, *arguments))


def answer(number: int, error: str) -> bytes:
    return _frame((8, number, error))


def relayed(packed: Sequence[bytes]) -> bytes:
    """Of messages that are packed already."""
    head: bytes = msgpack.Packer().pack_array_header(1 + len(packed))
    return _enveloped(b"".join((head, b"\x09", *packed)))


def fragment(last: bool, data: bytes | memoryview) -> bytes:
    return _frame((10, last, data))


def _frame(body: object) -> bytes:
    data: bytes = msgpack.packb(body)
    return _enveloped(data)


def _enveloped(data: bytes) -> bytes:
    return HEAD.pack(len(data), crc32(data)) + data


def _plain(message: Message) -> list[Any]:
    number = _NUMBER[type(message)]
    plain = [number, *(getattr(message, name) for name in _FIELDS[number])]
    if number == _APPEND:
        plain[_ENTRIES] = [(entry.index, entry.term, entry.kind, entry.data) for entry in plain[_ENTRIES]]
    return plain


def parse(
    body: bytes | memoryview, sender: str, to: str
) -> Hello | Proof | Mail | Pulse | Parcel | Published | Order | Answer | Relayed | Fragment:
    """One frame's body. Raises WireError for anything malformed."""
    try:
        kind, *rest = msgpack.unpackb(body, max_map_len=0, max_ext_len=0)
        if kind == 0:
            return _hello(*rest)
        if kind == 1:
            wall_ms, cluster_ms, plains = rest
            messages = [_message(plain, sender, to) for plain in plains]
            return Mail(_time(wall_ms), _time(cluster_ms), messages)
        if kind == 2:
            (term,) = rest
            if type(term) is not int or not 0 <= term < NUMBER_MAX:
                raise WireError("a malformed pulse")
            return Pulse(term)
        if kind == 4:
            return Parcel(rest)
        if kind == 6:
            (digest,) = rest
            if type(digest) is not bytes:
                raise WireError("a malformed proof")
            return Proof(digest)
        if kind == 5:
            return Published([_published(*message) for message in rest])
        if kind == 7:
            number, *arguments = rest
            if type(number) is not int or any(type(argument) is not bytes for argument in arguments):
                raise WireError("a malformed order")
            return Order(number, arguments)
        if kind == 8:
            number, error = rest
            if type(number) is not int or type(error) is not str:
                raise WireError("a malformed answer")
            return Answer(number, error)
        if kind == 9:
            return Relayed(rest)
        if kind == 10:
            last, data = rest
            if type(last) is not bool or type(data) is not bytes:
                raise WireError("a malformed fragment")
            return Fragment(last, data)
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise WireError(f"a malformed frame: {error}") from error
    raise WireError(f"a frame of unknown kind {kind!r}")


def _hello(version: Any, cluster: Any, node: Any, *later: Any) -> Hello:
    """Of another version only its number is of interest: whoever reads it refuses that."""
    if not (type(version) is int and type(cluster) is str and type(node) is str):
        raise WireError("a malformed hello")
    if version != VERSION:
        return Hello(version, cluster, node, 0)
    birth, nonce = later
    if type(birth) is not int or not 0 <= birth < NUMBER_MAX or type(nonce) is not bytes:
        raise WireError("a malformed hello")
    return Hello(version, cluster, node, birth, nonce)


def _time(value: Any) -> float:
    if type(value) not in (float, int) or not isfinite(value):
        raise WireError(f"a time that is {value!r}")
    return float(value)


def _published(shard: Any, channel: Any, message: Any) -> tuple[bool, bytes, bytes]:
    if type(shard) is not bool or type(channel) is not bytes or type(message) is not bytes:
        raise WireError("a malformed message of a publisher")
    return shard, channel, message


_ALLOWED: Final[dict[str, tuple[type, ...]]] = {
    "granted": (bool,),
    "transfer": (bool,),
    "fresh": (bool,),
    "welcome": (bool,),
    "match": (int, type(None)),
    "index": (int, type(None)),
    "entries": (list,),
}


def _message(plain: list[Any], sender: str, to: str) -> Message:
    number, *values = plain
    if type(number) is not int or not 0 <= number < len(_TYPES):
        raise WireError(f"a message of unknown type {number!r}")
    names = _FIELDS[number]
    if len(names) != len(values):
        raise WireError("a message with missing fields")
    for name, value in zip(names, values, strict=True):
        if type(value) not in _ALLOWED.get(name, (int,)):
            raise WireError(f"a message whose {name} is a {type(value).__name__}")
        if type(value) is int and not 0 <= value < NUMBER_MAX:
            raise WireError(f"a message whose {name} is {value}")
    if number == _APPEND:
        entries = values[_ENTRIES - 1] = tuple(_entry(*item) for item in values[_ENTRIES - 1])
        _check_run(values[names.index("prev_index")], entries)
    message: Message = _TYPES[number](sender, to, *values)
    return message


def _entry(index: Any, term: Any, kind: Any, data: Any) -> Entry:
    if type(index) is not int or type(term) is not int or type(data) is not bytes:
        raise WireError("a malformed entry")
    if not 0 <= term < NUMBER_MAX:
        raise WireError(f"an entry whose term is {term}")
    return Entry(index, term, EntryKind(kind), data)


def _check_run(prev_index: int, entries: tuple[Entry, ...]) -> None:
    for place, entry in enumerate(entries, prev_index + 1):
        if entry.index != place:
            raise WireError("entries out of order")


class Frames:
    """Cuts a stream into frames' bodies."""

    def __init__(self, frame_max: int) -> None:
        self.frame_max = HELLO_MAX
        self._later_max = frame_max
        self._buffer = bytearray()

    def trust(self) -> None:
        """The peer said who it is: allow whole frames."""
        self.frame_max = self._later_max

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that `data` completes. Raises WireError on an impossible length or a bad crc."""
        self._buffer += data
        bodies: list[bytes] = []
        at, buffer = 0, self._buffer
        while len(buffer) - at >= HEAD.size:
            size, crc = HEAD.unpack_from(buffer, at)
            if size > self.frame_max:
                raise WireError(f"a frame of {size} bytes, {self.frame_max} are allowed")
            end = at + HEAD.size + size
            if len(buffer) < end:
                break
            body = bytes(buffer[at + HEAD.size : end])
            if crc32(body) != crc:
                raise WireError("a frame with a wrong checksum")
            bodies.append(body)
            at = end
        del buffer[:at]
        return bodies
