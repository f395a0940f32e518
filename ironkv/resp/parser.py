"""Requests out of bytes: `*2\\r\\n$3\\r\\nGET\\r\\n$1\\r\\nk\\r\\n` or, typed by hand, `GET k\\r\\n`.

Two parsers share the work. `Exact` is the authority: one request at a time, every limit checked
before anything is allocated, Redis's words for every error. hiredis (C) is the accelerator for what
nearly always arrives: a chunk of whole, plain requests. It only ever sees a chunk from a request
boundary on, and keeps nothing between chunks: whatever it cannot take whole and plain is given to
`Exact` instead, from the last boundary on. Nothing of a chunk is carried out before it is parsed, so
a chunk may be parsed twice, never carried out twice. (One thing hiredis takes more kindly than Redis: a
request sent as a RESP3 set, `~2`, is carried out as the array it looks like.)

What a request may look like: processMultibulkBuffer and processInlineBuffer in Redis's networking.c,
https://redis.io/docs/latest/develop/reference/protocol-spec/
"""

from __future__ import annotations

import re
import secrets
from itertools import chain
from typing import Final

import hiredis

from ironkv.errors import ReplyError
from ironkv.resp.inline import split_words

Request = list[bytes]

INLINE_MAX: Final = 64 * 1024
ARGUMENTS_MAX: Final = 1024 * 1024
STRANGER_ARGUMENTS: Final = 10
STRANGER_BULK: Final = 16 * 1024
"""What a client that has not authenticated may send, as in Redis."""


class ProtocolError(ReplyError):
    """Not RESP, or beyond a limit: the client is told, then the connection is closed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"ERR Protocol error: {what}")


class Exact:
    """Parses request by request and holds the one that is not complete yet."""

    def __init__(self, bulk_max: int, request_max: int) -> None:
        self.bulk_max = bulk_max
        """Most bytes of one argument (proto-max-bulk-len)."""
        self.request_max = request_max
        """Most bytes of one request (client-query-buffer-limit)."""
        self.strict = False
        """Small requests only: whoever sends them is a stranger yet."""
        self._buffer = bytearray()
        self._at = 0
        self._args: Request = []
        self._missing = 0
        self._bulk = -1
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._buffer += data

    @property
    def idle(self) -> bool:
        """At a request boundary, nothing held."""
        return not self._buffer and not self._missing

    @property
    def held(self) -> int:
        """Bytes of the unfinished request."""
        return len(self._buffer) + self._size

    def take_rest(self) -> bytes:
        """The bytes behind the last request, which are then no longer held here."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def next(self) -> Request | None:
        """The next request, or None until more bytes are fed. Raises ProtocolError."""
        request = None
        while request is None and self._buffer[self._at : self._at + 1]:
            if self._missing:
                if not self._bulk_string():
                    break
                request = self._finished()
            elif self._buffer[self._at] == 0x2A:  # *
                if not self._array_head():
                    break
            else:
                line = self._line("too big inline request")
                if line is None:
                    break
                request = split_words(line)
                if request is None:
                    raise ProtocolError("unbalanced quotes in request")
                request = request or None
        del self._buffer[: self._at]
        self._at = 0
        return request

    def _finished(self) -> Request | None:
        if self._missing:
            return None
        args, self._args, self._size = self._args, [], 0
        return args

    def _line(self, too_long: str) -> bytes | None:
        end = self._buffer.find(b"\n", self._at, self._at + INLINE_MAX + 1)
        if end < 0:
            if len(self._buffer) - self._at > INLINE_MAX:
                raise ProtocolError(too_long)
            return None
        line = bytes(self._buffer[self._at : end])
        self._at = end + 1
        return line[:-1] if line.endswith(b"\r") else line

    def _array_head(self) -> bool:
        line = self._line("too big mbulk count string")
        if line is None:
            return False
        count = _length(line[1:])
        if count is None or count > ARGUMENTS_MAX:
            raise ProtocolError("invalid multibulk length")
        if self.strict and count > STRANGER_ARGUMENTS:
            raise ProtocolError("unauthenticated multibulk length")
        self._missing = max(count, 0)
        return True

    def _bulk_string(self) -> bool:
        """Take one argument if it is all there."""
        if self._bulk < 0:
            if self._buffer[self._at] != 0x24:  # $
                raise ProtocolError(f"expected '$', got '{chr(self._buffer[self._at])}'")
            line = self._line("too big bulk count string")
            if line is None:
                return False
            size = _length(line[1:])
            if size is None or not 0 <= size <= self.bulk_max:
                raise ProtocolError("invalid bulk length")
            if self.strict and size > STRANGER_BULK:
                raise ProtocolError("unauthenticated bulk length")
            if self._size + size > self.request_max:
                raise ProtocolError("too big request")
            self._bulk = size
        end = self._at + self._bulk
        if len(self._buffer) < end + 2:
            return False
        self._args.append(bytes(self._buffer[self._at : end]))
        self._size += self._bulk
        self._at = end + 2
        self._bulk = -1
        self._missing -= 1
        return True


_canonical = re.compile(rb"0|-?[1-9][0-9]{0,18}").fullmatch


def _length(text: bytes) -> int | None:
    return int(text) if _canonical(text) else None


_MORE: Final = object()
# A long count, or an array that begins with an array: hiredis makes room for either before it looks further.
_allocates = re.compile(rb"\*\d(?:\d{4}|\d*\r\n\*)").search
_NONCE: Final = secrets.randbits(62)
# A number nobody outside knows, fed behind each chunk: it comes back as a reply of its own exactly
# when the chunk ended at a request boundary.
_NONCE_WIRE: Final = b":%d\r\n" % _NONCE
_LISTS: Final = {list}
SINGLE: Final = 256
_join = b"".join


class Parser:
    """Bytes in, requests out, in order, however the bytes are cut.

    Chunks as they come from a socket are expected (256 KB at most), and limits above that size.
    """

    def __init__(self, bulk_max: int = 512 << 20, request_max: int = 1 << 30) -> None:
        self._exact = Exact(bulk_max, request_max)
        self._fast = hiredis.Reader(notEnoughData=_MORE)
        self._plainly = True
        """At a request boundary: nothing is held in `_exact`."""
        self.trusted = True
        """False: one request at a time, and small ones only."""
        self.error: ProtocolError | None = None
        """Set when the stream is broken; requests before that point were returned. Feed no more."""

    def set_limits(self, bulk_max: int, request_max: int) -> None:
        """New limits, for what is parsed from now on."""
        self._exact.bulk_max = bulk_max
        self._exact.request_max = request_max

    @property
    def held(self) -> int:
        """Bytes received that are not part of a returned request yet."""
        return self._exact.held

    def feed(self, data: bytes) -> list[Request]:
        """The requests that `data` completes; of a stranger's only the first (see `more`)."""
        if not self.trusted:
            self._exact.feed(data)
            return self._one()
        if self._plainly:
            return self._plain(data)
        exact = self._exact
        exact.feed(data)
        try:
            request = exact.next()
        except ProtocolError as error:
            self._broken(error)
            return []
        if request is None:
            self._plainly = exact.idle
            return []
        self._plainly = True
        rest = exact.take_rest()
        return [request, *self._plain(rest)] if rest else [request]

    def more(self) -> list[Request]:
        """The next request of a stranger; all further ones, once it is none any more."""
        if self._plainly:
            return []
        return self._one() if not self.trusted else self._drain()

    def _one(self) -> list[Request]:
        exact = self._exact
        exact.strict = True
        try:
            request = exact.next()
        except ProtocolError as error:
            self._broken(error)
            return []
        finally:
            exact.strict = False
        self._plainly = exact.idle
        return [] if request is None else [request]

    def _plain(self, data: bytes) -> list[Request]:
        """Parse from a request boundary on."""
        # hiredis allocates what a header announces, so long or nested counts never reach it.
        if data[0] != 0x2A or _allocates(data):
            return self._exactly(data)
        fast = self._fast
        fast.feed(data)
        fast.feed(_NONCE_WIRE)
        gets = fast.gets
        try:
            if len(data) < SINGLE:
                # Most clients send one request and wait: no need for lists of lists.
                first, second = gets(), gets()
                if type(first) is list and first and second == _NONCE:
                    _join(first)
                    return [first]
                requests = [item for item in (first, second) if item is not _MORE]
                if len(requests) == 2:
                    requests += iter(gets, _MORE)
            else:
                requests = [*iter(gets, _MORE)]
            whole = bool(requests) and requests[-1] == _NONCE
            if whole:
                requests.pop()
            # Fails on anything but lists of bytes, at a fraction of the cost of looking at each.
            [*map(_join, requests)]
            if not {*map(type, requests)} <= _LISTS:
                raise TypeError("a map, a set or a push")
        except (hiredis.HiredisError, TypeError):
            self._fast = hiredis.Reader(notEnoughData=_MORE)
            return self._exactly(data)
        if not whole:
            self._fast = hiredis.Reader(notEnoughData=_MORE)
            size = _wire_size(requests)
            if size > len(data):  # the number itself was taken for the end of a value
                return self._exactly(data)
            self._exact.feed(data[size:])
            requests += self._drain()
        return requests if all(requests) else [request for request in requests if request]

    def _exactly(self, data: bytes) -> list[Request]:
        self._exact.feed(data)
        return self._drain()

    def _drain(self) -> list[Request]:
        requests: list[Request] = []
        try:
            while (request := self._exact.next()) is not None:
                requests.append(request)
        except ProtocolError as error:
            self._broken(error)
        self._plainly = self._exact.idle
        return requests

    def _broken(self, error: ProtocolError) -> None:
        """Nothing behind the error will be looked at: hold none of it."""
        self.error = error
        self._exact.take_rest()


def _wire_size(requests: list[Request]) -> int:
    """Bytes that these requests took; exact, since hiredis takes lengths in one spelling only."""
    sizes = [*map(len, chain.from_iterable(requests))]
    heads = sum(len(str(number)) + 3 for number in chain(sizes, map(len, requests)))
    return heads + sum(sizes) + 2 * len(sizes)
