"""Requests come out the same however the bytes are cut; nothing hostile is believed."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ironkv.resp.parser import Parser, Request


def wire(*args: bytes) -> bytes:
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)


def parse(*chunks: bytes, **limits: int) -> tuple[list[Request], str | None]:
    parser = Parser(**limits)
    requests: list[Request] = []
    for chunk in chunks:
        if chunk and parser.error is None:
            requests += parser.feed(chunk)
    return requests, str(parser.error) if parser.error else None


STREAMS = {
    "one": wire(b"GET", b"k"),
    "pipeline": wire(b"SET", b"k", b"v") + wire(b"GET", b"k") * 3,
    "empty arguments": wire(b"SET", b"", b"") + wire(b"GET", b""),
    "binary": wire(b"SET", b"\r\n*5\r\n$3\r\n", bytes(range(256))) + wire(b"PING"),
    "inline": b"PING\r\nSET k 'a b'\nGET \"\\x41\\n\"\r\n\r\n  \r\nECHO hi\r\n",
    "mixed": wire(b"PING") + b"PING\r\n" + wire(b"ECHO", b"x") + b"ECHO y\n" + wire(b"PING"),
    "empty arrays": b"*0\r\n" + wire(b"PING") + b"*-1\r\n*0\r\n" + wire(b"ECHO", b"x"),
    "looks long": wire(b"SET", b"k", b"*99999\r\n") + wire(b"GET", b"k"),
    "sloppy lengths": b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
    "many arguments": wire(b"DEL", *[b"k%d" % n for n in range(300)]),
    "then broken": wire(b"PING") + wire(b"ECHO", b"x") + b"*1\r\n:5\r\n",
    "bad length": wire(b"PING") + b"*1\r\n$04\r\nPING\r\n",
}


@pytest.mark.parametrize("name", STREAMS)
def test_any_split_gives_the_same_requests(name: str) -> None:
    stream = STREAMS[name]
    whole = parse(*(bytes([byte]) for byte in stream))
    assert whole[0]
    for cut in range(len(stream) + 1):
        assert parse(stream[:cut], stream[cut:]) == whole, cut


def test_the_requests_themselves() -> None:
    assert parse(STREAMS["mixed"])[0] == [[b"PING"], [b"PING"], [b"ECHO", b"x"], [b"ECHO", b"y"], [b"PING"]]
    assert parse(STREAMS["inline"])[0] == [
        [b"PING"],
        [b"SET", b"k", b"a b"],
        [b"GET", b"A\n"],
        [b"ECHO", b"hi"],
    ]


@given(
    st.lists(st.lists(st.binary(max_size=40), min_size=1, max_size=5), min_size=1, max_size=8),
    st.lists(st.integers(0, 400), max_size=6),
)
def test_random_requests_in_random_pieces(requests: list[Request], cuts: list[int]) -> None:
    stream = b"".join(wire(*request) for request in requests)
    places = sorted({min(cut, len(stream)) for cut in cuts} | {0, len(stream)})
    chunks = [stream[a:b] for a, b in itertools.pairwise(places)]
    assert parse(*chunks) == (requests, None)


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=6))
def test_noise_never_raises(chunks: list[bytes]) -> None:
    parse(*chunks)


@given(
    st.lists(st.sampled_from([b"*", b"$", b"1", b"2", b"\r\n", b"-", b"9999", b"x", b":", b"%"]), max_size=14)
)
def test_near_protocol_noise_is_cut_invariant(tokens: list[bytes]) -> None:
    assert parse(*tokens) == parse(b"".join(tokens)) == parse(*(bytes([b]) for b in b"".join(tokens)))


@pytest.mark.parametrize(
    ("stream", "error"),
    [
        (b"*2147483647\r\n", "invalid multibulk length"),
        (b"*99999999999999999999\r\n", "invalid multibulk length"),
        (b"*abc\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*1\r\n$999999999999\r\n", "invalid bulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n*1\r\n$4\r\nPING\r\n", "expected '$', got '*'"),
        (b"*1\r\n" * 1000, "expected '$', got '*'"),
        (b"*1\r\n:5\r\n", "expected '$', got ':'"),
        (b"*2\r\n$3\r\nGET\r\n%1\r\n", "expected '$', got '%'"),
        (b"x" * (64 * 1024 + 1), "too big inline request"),
        (b"*" + b"1" * (64 * 1024 + 1), "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * (64 * 1024 + 1), "too big bulk count string"),
        (b"GET 'k\r\n", "unbalanced quotes in request"),
        (b'GET "k"x\r\n', "unbalanced quotes in request"),
    ],
)
def test_hostile_input_is_refused_in_redis_words(stream: bytes, error: str) -> None:
    wanted = [[b"PING"]], f"ERR Protocol error: {error}"
    assert parse(wire(b"PING") + stream) == wanted
    assert parse(wire(b"PING"), stream) == wanted


def test_limits_are_settings() -> None:
    pieces = (bytes([byte]) for byte in wire(b"SET", b"k", b"v" * 11))
    assert parse(*pieces, bulk_max=10) == (
        [],
        "ERR Protocol error: invalid bulk length",
    )
    refused = parse(wire(b"SET", b"k" * 9, b"v" * 9)[:34], b"..", bulk_max=10, request_max=20)
    assert refused == ([], "ERR Protocol error: too big request")


@pytest.mark.parametrize(
    "stream",
    [b"*9999\r\n" * 5_000, b"*1048576\r\n", b"*9999\r\n", b"*1\r\n$536870912\r\n", b"*2147483647\r\n"],
)
def test_an_announcement_allocates_nothing(stream: bytes) -> None:
    tracemalloc.start()
    parsers = [Parser() for _ in range(20)]
    before = tracemalloc.get_traced_memory()[0]
    for parser in parsers:
        parser.feed(stream)
    after, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 100_000
    assert peak - before < 300_000


def test_a_big_value_in_small_pieces() -> None:
    value = bytes(range(256)) * 4096
    stream = wire(b"SET", b"k", value) + wire(b"GET", b"k")
    chunks = [stream[at : at + 1000] for at in range(0, len(stream), 1000)]
    assert parse(*chunks) == ([[b"SET", b"k", value], [b"GET", b"k"]], None)


@pytest.mark.parametrize(
    "other",
    [b"%1\r\n$4\r\nPING\r\n$1\r\nx\r\n", b">1\r\n$4\r\nPING\r\n", b"$4\r\nPING\r\n"],
)
def test_other_types_are_no_requests(other: bytes) -> None:
    """Redis takes what does not start with `*` for an inline command."""
    stream = wire(b"PING") + other
    whole = parse(*(bytes([byte]) for byte in stream))
    assert parse(stream) == whole
    assert parse(wire(b"PING") * 20 + other)[0][-len(whole[0]) :] == whole[0]
    assert all(type(request) is list for request in parse(stream)[0])
