"""Files as Redis saves them: `dump.rdb`.

    REDIS  version (four digits)  then, each after a byte that says which, in this order per key:
    0xFA   name, value: of the server that wrote it      0xFE  number of the database of what follows
    0xFB   two counts of its keys: a hint                0xFC  8 bytes: when the next key dies, in ms
    0xFD   4 bytes: the same in seconds                  0xF8, 0xF9  how idle or how used the next key is
    0xF5   a library of functions                        0xF7  what a module keeps besides values
    type   key, value                                    0xFF  the end, and behind it a CRC-64, or 0 for none

One key is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import BinaryIO, Final, NamedTuple

from ironkv.keyspace.values import Value
from ironkv.rdb.basics import INT64, length, string
from ironkv.rdb.checksum import crc64
from ironkv.rdb.corrupt import Corrupt
from ironkv.rdb.source import CHUNK, Source
from ironkv.rdb.values import DECODERS, VERSION, VERSION_MOST, decode, encode, module_name

MAGIC: Final = b"REDIS"
_CHECKED_FROM: Final = 5
"""The version since which files end with a checksum."""

_FUNCTION, _FUNCTION_BEFORE_7, _MODULE = 0xF5, 0xF6, 0xF7
_IDLE, _FREQUENCY, _AUX, _RESIZE = 0xF8, 0xF9, 0xFA, 0xFB
_EXPIRE_MS, _EXPIRE_S, _SELECT, _END = 0xFC, 0xFD, 0xFE, 0xFF


class Item(NamedTuple):
    """A key of a file."""

    db: int
    key: bytes
    value: Value
    deadline_ms: int | None


class Reading:
    """A file while it is read: iterate once. Raises Corrupt, with the offset and the reason."""

    def __init__(self, stream: BinaryIO) -> None:
        self._source = Source(more=stream.read)
        self.version = 0
        """Known from the first key on, as the following are."""
        self.aux: dict[bytes, bytes] = {}
        """What the server told of itself: `redis-ver`, `ctime`, `used-mem` …"""
        self.functions = 0
        """Libraries of functions that were passed over."""
        self.modules: list[str] = []
        """Modules whose own data, which belong to no key, were passed over."""
        self._db = 0
        self._deadline_ms: int | None = None

    @property
    def offset(self) -> int:
        """How many bytes have been read."""
        return self._source.offset

    def __iter__(self) -> Iterator[Item]:
        source = self._source
        try:
            self._read_head()
            while (code := source.byte()) != _END:
                if code in DECODERS:
                    deadline_ms, self._deadline_ms = self._deadline_ms, None
                    yield Item(self._db, source.string(), decode(code, source), deadline_ms)
                elif code in _BETWEEN_KEYS:
                    _BETWEEN_KEYS[code](self)
                else:
                    raise Corrupt(f"{code:#04x} is no type of a value, nor anything else that may stand here")
            self._read_checksum()
        except Corrupt as error:
            raise Corrupt(f"at byte {source.offset}: {error}") from None

    def _read_head(self) -> None:
        head = self._source.take(9)
        if not head.startswith(MAGIC) or not head[5:].isdigit():
            raise Corrupt("this is no file that Redis saved: it does not begin with REDIS and a version")
        self.version = int(head[5:])
        if not 1 <= self.version <= VERSION_MOST:
            raise Corrupt(
                f"RDB version {self.version}: only those up to {VERSION_MOST} (Redis 7.2) can be read"
            )

    def _read_checksum(self) -> None:
        if self.version < _CHECKED_FROM:
            return
        ours = self._source.checksum()
        theirs = int.from_bytes(self._source.take(8), "little")
        if theirs and theirs != ours:
            raise Corrupt(f"the checksum is {theirs:016x}, of what was read it is {ours:016x}")

    # -- what may stand between keys

    def _select(self) -> None:
        self._db = self._source.length()

    def _resize(self) -> None:
        self._source.length()
        self._source.length()

    def _expire_ms(self) -> None:
        self._deadline_ms = self._source.milliseconds()

    def _expire_s(self) -> None:
        self._deadline_ms = 1000 * int.from_bytes(self._source.take(4), "little", signed=True)

    def _idle(self) -> None:
        self._source.length()

    def _frequency(self) -> None:
        self._source.byte()

    def _aux(self) -> None:
        name = self._source.string()
        self.aux[name] = self._source.string()

    def _function(self) -> None:
        self._source.string()
        self.functions += 1

    def _function_before_7(self) -> None:
        raise Corrupt("functions as release candidates of Redis 7.0 had them")

    def _module(self) -> None:
        """Pass over numbers, floats, doubles and strings, each after its kind, up to a 0."""
        source = self._source
        self.modules.append(module_name(source.length()))
        while kind := source.length():
            if kind in (1, 2):
                source.length()
            elif kind in (3, 4):
                source.take(4 if kind == 3 else 8)
            elif kind == 5:
                source.string()
            else:
                raise Corrupt(f"{kind} is no kind of what a module may have saved")


_BETWEEN_KEYS: Final[dict[int, Callable[[Reading], None]]] = {
    _FUNCTION: Reading._function,
    _FUNCTION_BEFORE_7: Reading._function_before_7,
    _MODULE: Reading._module,
    _IDLE: Reading._idle,
    _FREQUENCY: Reading._frequency,
    _AUX: Reading._aux,
    _RESIZE: Reading._resize,
    _EXPIRE_MS: Reading._expire_ms,
    _EXPIRE_S: Reading._expire_s,
    _SELECT: Reading._select,
}


def read(stream: BinaryIO) -> Reading:
    """The keys of a file, one after the other, as `Item`s."""
    return Reading(stream)


def verify(stream: BinaryIO) -> None:
    """Look at the checksum of a whole file without reading its keys. Raises Corrupt."""
    head = stream.read(9)
    if not head.startswith(MAGIC) or not head[5:].isdigit() or int(head[5:]) < _CHECKED_FROM:
        return  # whoever reads it says what it is
    crc, last = crc64(head), b""
    while piece := stream.read(CHUNK):
        held = last + piece
        crc, last = crc64(held[:-8], crc), held[-8:]
    theirs = int.from_bytes(last, "little")
    if theirs and theirs != crc:
        raise Corrupt(
            f"the checksum is {theirs:016x}, of the file it is {crc:016x}: it is damaged or cut off"
        )


def write(
    stream: BinaryIO,
    items: Iterable[tuple[int, bytes, Value, int | None]],
    *,
    aux: Mapping[str, str] | None = None,
    version: int = VERSION,
) -> int:
    """Write a file of (database, key, value, deadline in ms or None); how many keys it has.

    `version`: 10, or 11 for types that only Redis 7.2 and later can read.
    """
    out = _Output(stream)
    out.add(MAGIC + b"%04d" % version)
    for name, text in (aux or {}).items():
        out.add(bytes((_AUX,)) + string(name.encode()) + string(text.encode()))
    current, count = None, 0
    for db, key, value, deadline_ms in items:
        if db != current:
            out.add(bytes((_SELECT,)) + length(db))
            current = db
        if deadline_ms is not None:
            out.add(bytes((_EXPIRE_MS,)) + INT64.pack(deadline_ms))
        encoded = encode(value, version)
        out.add(encoded[:1] + string(key))
        out.add(encoded[1:])
        count += 1
    out.add(bytes((_END,)))
    out.flush()
    stream.write(out.crc.to_bytes(8, "little"))
    return count


class _Output:
    """Gathers what is to be written, and its checksum."""

    def __init__(self, stream: BinaryIO) -> None:
        self.crc = 0
        self._stream = stream
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size >= CHUNK:
            self.flush()

    def flush(self) -> None:
        data = b"".join(self._parts)
        self._parts, self._size = [], 0
        self.crc = crc64(data, self.crc)
        self._stream.write(data)
