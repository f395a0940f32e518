"""Streams: random sequences and chosen lines against a real Redis, and what 7.2 does otherwise than 7.0.

How the entries are held is in `test_stream_blocks`.
"""

from __future__ import annotations

import os
import re
from itertools import chain

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from ironkv.commands import streams as commands
from ironkv.commands.table import find
from ironkv.errors import CommandError
from ironkv.keyspace import thresholds
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.streams import Stream
from ironkv.keyspace.thresholds import Thresholds
from tests.commands.compare import agree, answer, written_out
from tests.commands.local import Local
from tests.commands.oracle import Oracle
from tests.commands.strategies import companions, streams
from tests.commands.strategies.common import KEYS, Args, Later, spoiled
from tests.commands.wire import ErrorReply, meaning

EXAMPLES = int(os.environ.get("IRONKV_EXAMPLES", "150"))

STREAMS = st.one_of(streams.COMMANDS)
COMPANY = st.one_of(companions.COMMANDS)
SEQUENCES = st.lists(
    st.one_of(st.one_of(streams.ADDITIONS), STREAMS, STREAMS, STREAMS, STREAMS, COMPANY, spoiled(STREAMS)),
    min_size=8,
    max_size=50,
)
PRELUDE: list[Args] = [
    [b"XGROUP", b"CREATE", b"a", b"g", b"0", b"MKSTREAM"],
    *([b"XADD", b"a", Later(0, 1), b"f", b"%d" % n] for n in range(8)),
    [b"XREADGROUP", b"GROUP", b"g", b"c", b"COUNT", b"3", b"STREAMS", b"a", b">"],
    [b"XREADGROUP", b"GROUP", b"g", b"d", b"COUNT", b"2", b"STREAMS", b"a", b">"],
    [b"XADD", b"b", Later(0, 1), b"f", b"v", b"g", b"w"],
]


def _looks() -> list[list[bytes]]:
    """Commands that show all there is of each key."""
    names = [b"a", b"b", b"{a}1"]
    groups = [b"g", b"h", b"", b"g\x00x"]
    return [
        *([b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"] for key in KEYS),
        *([b"XINFO", b"CONSUMERS", key, group] for key in names for group in groups),
        *([b"TYPE", key] for key in KEYS),
    ]


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    prelude=st.sampled_from([0, 9, len(PRELUDE), len(PRELUDE)]),
    sequence=SEQUENCES,
    proto=st.sampled_from([2, 3]),
    limits=st.sampled_from([(100, 4096), (3, 4096), (100, 120), (2, 300)]),
    rebuilt=st.sampled_from([0, 7]),
)
def test_every_reply_is_as_from_redis(
    oracle: Oracle, prelude: int, sequence: list[Args], proto: int, limits: tuple[int, int], rebuilt: int
) -> None:
    """`rebuilt`: after how many commands each stream is replaced by what an image of it gives."""
    local = Local()
    entries, size = limits
    for args in ([b"FLUSHALL"], [b"SELECT", b"0"]):
        oracle.ask(args, proto)
    _configure(oracle, entries, size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(thresholds, "in_force", Thresholds(stream_entries=entries, stream_bytes=size))
        try:
            for place, words in enumerate([*PRELUDE[:prelude], *sequence, *_looks()]):
                args = written_out(words, place)
                theirs = answer(lambda args: oracle.ask(args, proto), args)
                ours = answer(lambda args: local.ask(args, proto), args)
                note(f"{args} -> {theirs!r}")
                if rebuilt and place % rebuilt == 0:
                    _rebuild(local)
                assert agree(args, ours, theirs), f"{args}\n  Redis   {theirs!r}\n  IronKV  {ours!r}"
        finally:
            _configure(oracle, 100, 4096)


def _rebuild(local: Local) -> None:
    for values in local.db.values:
        for key, value in values.items():
            if type(value) is Stream:
                values[key] = again = Stream.from_pieces(b"stream", list(chain(*value.pieces(3))))
                assert list(chain(*again.pieces(3))) == list(chain(*value.pieces(3)))


def _configure(oracle: Oracle, entries: int, size: int) -> None:
    oracle.ask([b"CONFIG", b"SET", b"stream-node-max-entries", b"%d" % entries])
    oracle.ask([b"CONFIG", b"SET", b"stream-node-max-bytes", b"%d" % size])


# -- chosen lines


def _lines(text: str) -> list[str]:
    return [line.strip() for line in re.split("[;\n]", text) if line.strip()]


FILLED = _lines(
    """
    XADD a 1-1 f v; XADD a 1-2 f v g w; XADD a 2-0 h v; XADD a 5-7 f v; XADD b 3-3 x y; SET str x
    XGROUP CREATE a g 0; XGROUP CREATE b g 0; XREADGROUP GROUP g c COUNT 2 STREAMS a >
    XREADGROUP GROUP g d STREAMS a b > >
"""
)
LINES = _lines(
    """
    XRANGE a - +; XRANGE a 1 1; XRANGE a 1-2 2; XRANGE a (1-1 (5-7; XREVRANGE a + - COUNT 1
    XRANGE a - + COUNT 0; XRANGE a - + COUNT -1; XRANGE none - + COUNT 0; XRANGE a + -; XRANGE a - + COUNT
    XRANGE a (18446744073709551615-18446744073709551615 +; XRANGE a - (0; XRANGE a - (0-0; XRANGE a (- +
    XRANGE str - +; XREAD STREAMS a b 0 0; XREAD STREAMS a a 0 2; XREAD COUNT 1 STREAMS b a 0 0
    XREAD STREAMS none 0; XREAD STREAMS a $; XREAD STREAMS a >; XREAD STREAMS a +
    XREAD COUNT -3 STREAMS a 0; XREAD STREAMS str 0; XREAD STREAMS a str 0 x; XREAD STREAMS a a x y
    XREAD COUNT 1 NOACK; XREAD COUNT 1 GROUP; XREAD COUNT 1 STREAMS; XREAD COUNT 1 COUNT; XREAD a b c;
    XREADGROUP GROUP g c COUNT 1 NOACK; XREAD COUNT x STREAMS a 0; XREAD BLOCK -1 STREAMS a 0
    XREAD BLOCK x STREAMS a 0; XREAD COUNT 1 FOO 1 STREAMS a 0; XREAD GROUP g c STREAMS a 0
    XREAD NOACK STREAMS a 0; XREAD COUNT 1 BLOCK 1; XREADGROUP GROUP g c STREAMS a 0
    XREADGROUP GROUP g c STREAMS a >; XREADGROUP GROUP g c STREAMS a $; XREADGROUP GROUP g c STREAMS none >
    XREADGROUP GROUP no c STREAMS a >; XREADGROUP GROUP g c STREAMS str >
    XREADGROUP COUNT 1 NOACK STREAMS a b 0 0; XREADGROUP GROUP g d STREAMS a b 0 1
    XREADGROUP GROUP g c x a >; XDEL a 1-2 9-9; XREADGROUP GROUP g c STREAMS a 0; XPENDING a g
    XPENDING b g; XPENDING a no; XPENDING a g x; XPENDING a g - + 10 nobody; XPENDING a g IDLE 0 - +
    XPENDING a g IDLE x - + 1; XPENDING a g - + x; XPENDING a g (1 + 0; XPENDING a g - + -1
    XPENDING a g - + 0 c more; XPENDING str g; XPENDING none g; XACK a g 1-1; XACK a g 1-1 2; XACK a no 1-1
    XACK none g 1-1; XCLAIM a g e 0 1-1 1-2 2-0 JUSTID; XCLAIM a g e 0 1-1 FORCE; XCLAIM a g e x 1-1
    XCLAIM a g e 0 1-1 IDLE; XCLAIM a g e 0 1-1 IDLE x; XCLAIM a g e 0 1-1 TIME x
    XCLAIM a g e 0 1-1 RETRYCOUNT x; XCLAIM a g e 0 1-1 LASTID x; XCLAIM a g e 0 1-1 FORCE 2-0
    XCLAIM a no e 0 1-1; XCLAIM a g e 99999 1-1; XCLAIM a g e 0 JUSTID; XAUTOCLAIM a g e 0 - COUNT 1
    XAUTOCLAIM a g e 0 2 COUNT 1 JUSTID; XAUTOCLAIM a g e 0 (5-7; XAUTOCLAIM a g e 0 - COUNT 0
    XAUTOCLAIM a g e x -; XAUTOCLAIM a g e 0 - FOO; XAUTOCLAIM none g e 0 -
    XAUTOCLAIM a g e 0 - COUNT 576460752303423488; XGROUP CREATE a g $; XGROUP CREATE none g $
    XGROUP CREATE new g $ MKSTREAM; XLEN new; TYPE new; XINFO STREAM new; XINFO STREAM new FULL
    XGROUP CREATE a h 0 ENTRIESREAD -2; XGROUP CREATE a h 0 ENTRIESREAD x; XGROUP CREATE a h 0 FOO
    XGROUP CREATE a h 0 MKSTREAM MKSTREAM MKSTREAM MKSTREAM; XGROUP SETID a g + ENTRIESREAD 1 ENTRIESREAD 2
    XGROUP CREATE str g 0; XGROUP SETID a g -; XGROUP SETID a g +; XGROUP SETID a g $ ENTRIESREAD 7
    XGROUP SETID a no $; XGROUP SETID none g $; XGROUP SETID a g $ MKSTREAM; XGROUP DESTROY a no
    XGROUP DESTROY none g; XGROUP CREATECONSUMER a g f; XGROUP CREATECONSUMER a g f
    XGROUP DELCONSUMER a g f; XGROUP DELCONSUMER a g f; XGROUP DELCONSUMER a no f; XGROUP DELCONSUMER a g d
    XGROUP FOO a g; XGROUP; XINFO STREAM a; XINFO STREAM none; XINFO STREAM str; XINFO STREAM a FULL x 1
    XINFO STREAM a FULL COUNT x; XINFO STREAM a FUL; XINFO GROUPS a; XINFO GROUPS none
    XINFO CONSUMERS a no; XINFO CONSUMERS none g; XINFO; XINFO GROUPS b; XADD a 2-0 f v; XADD a 0-0 f v
    XADD a 0 f v; XADD a 5-7 f v; XADD a 5-* f v; XADD a 4-* f v; XADD c 0-* f v; XADD a 9-9 f
    XADD a 9-9 f v g; XADD a x f v; XADD a MAXLEN 1 9-9 f; XADD a MAXLEN x 9-9 f v
    XADD a MAXLEN -1 9-9 f v; XADD a MAXLEN 1 MINID 1 9-9 f v; XADD a LIMIT 1 9-9 f v
    XADD a LIMIT 0 9-9 f v; XADD a MAXLEN 1 LIMIT 1 9-9 f v; XADD a MAXLEN ~ 1 LIMIT -1 9-9 f v
    XADD a MAXLEN ~ 1 LIMIT x 9-9 f v; XADD none NOMKSTREAM 9-9 f v
    XADD none NOMKSTREAM NOMKSTREAM 9-9 f v; XADD str 9-9 f v; XADD a NOMKSTREAM MAXLEN = 3 9-9 f v
    XTRIM a MAXLEN 1; XTRIM a; XTRIM a FOO 1; XTRIM a LIMIT 5; XTRIM a MINID x; XTRIM a MINID 99 LIMIT 1
    XTRIM none MAXLEN 1; XTRIM a MINID ~ 99; XTRIM a MAXLEN; XTRIM a MAXLEN ~; XTRIM a MINID = 99; EXISTS a
    XINFO STREAM a; XINFO GROUPS a; XSETID a 1-1; XSETID none 1-1; XSETID a x; XSETID a 99 ENTRIESADDED -1
    XSETID a 99 MAXDELETEDID 100; XSETID a 99 ENTRIESADDED 0; XSETID b 99 ENTRIESADDED 0; XSETID a 99 FOO
    XSETID a 99 ENTRIESADDED; XSETID str 99; XSETID a 99 ENTRIESADDED 9223372036854775807 MAXDELETEDID 98
    XADD a 100 f v; XINFO STREAM a; XINFO GROUPS a; XSETID a 18446744073709551615-18446744073709551615
    XADD a * f v; XADD a 18446744073709551615-* f v; XSETID b 18446744073709551615-5; XADD b * f v
    COPY b d; XRANGE d - +; OBJECT ENCODING d; XLEN d; XLEN none; XLEN str
"""
)


@pytest.mark.parametrize("proto", [2, 3])
def test_lines_are_answered_as_redis_answers_them(oracle: Oracle, proto: int) -> None:
    local = Local()
    oracle.ask([b"FLUSHALL"])
    for line in FILLED + LINES:
        args = line.encode().split()
        theirs = answer(lambda args: oracle.ask(args, proto), args)
        ours = answer(lambda args: local.ask(args, proto), args)
        assert agree(args, ours, theirs), f"{line}\n  Redis   {theirs!r}\n  IronKV  {ours!r}"


@pytest.mark.parametrize("text", [*streams.ODD_IDS, *streams.EXTREME_IDS, b"1", b"5-3"], ids=repr)
def test_ids_are_read_as_redis_reads_them(oracle: Oracle, text: bytes) -> None:
    local = Local()
    oracle.ask([b"FLUSHALL"])
    for args in (
        [b"XGROUP", b"CREATE", b"a", b"g", b"0", b"MKSTREAM"],
        [b"XADD", b"a", text, b"f", b"v"],
        [b"XRANGE", b"a", text, b"+"],
        [b"XRANGE", b"a", b"-", text],
        [b"XRANGE", b"a", b"(" + text, b"+"],
        [b"XRANGE", b"a", b"-", b"(" + text],
        [b"XGROUP", b"SETID", b"a", b"g", text],
        [b"XINFO", b"GROUPS", b"a"],
        [b"XDEL", b"a", text],
    ):
        if args[0] != b"XADD" or text != b"*":
            assert local.ask(args) == oracle.ask(args), args


@pytest.mark.parametrize(
    "line",
    _lines(
        """
        XREAD STREAMS a b 0 0; XREAD COUNT 1 BLOCK 5 STREAMS a b c 0 0 0; XREAD STREAMS streams 0
        XREAD STREAMS a b 0; XREAD FOO STREAMS a 0; XREAD BLOCK 1 COUNT 2
        XREADGROUP GROUP g c STREAMS a b > >; XREADGROUP NOACK GROUP STREAMS c COUNT 1 STREAMS a >
        XREADGROUP COUNT 1 GROUP g c NOACK STREAMS a >; XADD a * f v; XGROUP CREATE a g $; XINFO STREAM a
        XPENDING a g; XCLAIM a g c 0 1-1; XAUTOCLAIM a g c 0 0; XACK a g 1; XSETID a 5; XTRIM a MAXLEN 1
        """
    ),
)
def test_keys_are_found_as_redis_finds_them(oracle: Oracle, line: str) -> None:
    args = line.encode().split()
    theirs = meaning(oracle.ask([b"COMMAND", b"GETKEYS", *args]))
    try:
        ours = list(find(args).key_args(args))
    except CommandError:
        ours = None
    assert ours == (None if isinstance(theirs, ErrorReply) else theirs)


# -- as in 7.2, where 7.0 does otherwise


def _filled() -> Local:
    local = Local(now_ms=1_000)
    for line in ("XADD a 1-1 f v", "XADD a 1-2 f v", "XGROUP CREATE a g 0"):
        local.do(line)
    return local


@pytest.mark.parametrize(
    "line",
    [
        "XCLAIM a g new 0 9-9",
        "XAUTOCLAIM a g new 0 0",
        "XREADGROUP GROUP g new STREAMS a 0",
        "XREADGROUP GROUP empty new STREAMS a >",
    ],
)
def test_a_consumer_is_made_even_if_he_gets_nothing(line: str) -> None:
    local = _filled()
    local.do("XGROUP CREATE a empty $")
    local.do(line)
    group = line.split()[2]
    assert local.do(f"XINFO CONSUMERS a {group}") == [
        {b"name": b"new", b"pending": 0, b"idle": 0, b"inactive": -1}
    ]


def test_consumers_are_idle_since_they_asked_and_inactive_since_they_got_something() -> None:
    local = _filled()
    local.do("XREADGROUP GROUP g c COUNT 1 STREAMS a >")
    local.now_ms = 1_500
    local.do("XREADGROUP GROUP g c STREAMS a 0")
    local.do("XREADGROUP GROUP g d NOACK STREAMS a >")
    local.now_ms = 1_700
    assert local.do("XINFO CONSUMERS a g") == [
        {b"name": b"c", b"pending": 1, b"idle": 200, b"inactive": 700},
        {b"name": b"d", b"pending": 0, b"idle": 200, b"inactive": -1},
    ]
    assert local.do("XPENDING a g - + 9") == [[b"1-1", b"c", 200, 2]]
    assert local.do("XPENDING a g IDLE 201 - + 9") == []
    assert local.do("XCLAIM a g d 201 1-1") == []
    assert local.do("XCLAIM a g d 200 1-1 IDLE 600 JUSTID") == [b"1-1"]
    assert local.do("XPENDING a g - + 9") == [[b"1-1", b"d", 600, 2]]
    (described,) = local.do("XINFO STREAM a FULL")[b"groups"]
    assert described[b"pending"] == [[b"1-1", b"d", 1_100, 2]]
    assert described[b"consumers"][1] == {
        b"name": b"d", b"seen-time": 1_700, b"active-time": 1_700, b"pel-count": 1,
        b"pending": [[b"1-1", 1_100, 2]],
    }  # fmt: skip


def test_a_stream_is_not_set_back_behind_what_was_deleted() -> None:
    local = _filled()
    local.do("XDEL a 1-2")
    assert str(local.do("XSETID a 1-1")).startswith("ERR The ID specified in XSETID is smaller than current")
    assert str(local.do("XSETID a 1-2").text, "ascii") == "OK"


def test_odd_lists_of_streams() -> None:
    local = _filled()
    text = "ERR Unbalanced '{}' list of streams: for each stream key an ID or '{}' must be specified."
    assert str(local.do("XREAD STREAMS a b 0")) == text.format("xread", "$")
    assert str(local.do("xreadgroup GROUP g c STREAMS a b 0")) == text.format("xreadgroup", ">")


@pytest.mark.parametrize("line", ["XREAD BLOCK {} STREAMS a 0", "XREADGROUP GROUP g c BLOCK {} STREAMS a >"])
def test_a_time_that_has_no_number(line: str) -> None:
    local = _filled()
    assert str(local.do(line.format(2**63 - 1_000))) == "ERR timeout is out of range"
    assert len(local.do(line.format(2**63 - 1 - 1_000))) == 1


def test_an_exhausted_sequence() -> None:
    local = _filled()
    local.do("XSETID a 7-18446744073709551615")
    assert "equal or smaller" in str(local.do("XADD a 7-* f v"))
    assert local.do("XADD a 8-* f v") == b"8-0"


# -- what no comparison shows


def test_ids_of_our_own_making_come_from_the_stamp_and_never_go_back() -> None:
    local = Local(now_ms=1_000)
    assert [local.do("XADD a * f v") for _ in range(2)] == [b"1000-0", b"1000-1"]
    local.now_ms = 2_000
    assert local.do("XADD a * f v") == b"2000-0"
    local.do("XADD a 5000-7 f v")
    assert local.do("XADD a * f v") == b"5000-8"
    local.do("XSETID a 6000-18446744073709551615")
    assert local.do("XADD a * f v") == b"6001-0"


def test_events_are_told() -> None:
    local = Local(now_ms=1_000)
    told: list[bytes] = []

    def listen(database: Database, event: bytes, key: bytes) -> None:
        told.append(event)

    local.keyspace.listener = listen
    for line in _lines(
        """
        XGROUP CREATE a g 0 MKSTREAM; XADD a MAXLEN 1 1 f v; XADD a MAXLEN 1 2 f v; XGROUP SETID a g 0
        XREADGROUP GROUP g c STREAMS a >; XREADGROUP GROUP g c STREAMS a >; XCLAIM a g d 0 2; XACK a g 2
        XGROUP CREATECONSUMER a g d; XAUTOCLAIM a g e 0 0; XGROUP DELCONSUMER a g c; XGROUP DELCONSUMER a g c
        XDEL a 2; XDEL a 2; XTRIM a MAXLEN 0; XSETID a 9; XGROUP DESTROY a g; XGROUP DESTROY a g
        """
    ):
        local.do(line)
    assert told == [
        b"new", b"xgroup-create", b"xadd", b"xadd", b"xtrim", b"xgroup-setid", b"xgroup-createconsumer",
        b"xgroup-createconsumer", b"xgroup-createconsumer", b"xgroup-delconsumer", b"xdel", b"xsetid",
        b"xgroup-destroy",
    ]  # fmt: skip


def test_elements_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "ENTRY_MOST", 50)
    local = Local(now_ms=1_000)
    assert local.reply([b"XADD", b"a", b"*", b"f", b"v" * 49]) == b"1000-0"
    assert (
        str(local.reply([b"XADD", b"a", b"*", b"f", b"v" * 50])) == "ERR Elements are too large to be stored"
    )
    assert local.reply([b"XADD", b"k" * 60, b"*", b"f", b"v"]) == b"1000-0"


def test_a_malformed_write_is_not_logged() -> None:
    for line in _lines(
        """
        XADD a x f v; XADD a * f v g; XDEL a x; XTRIM a MAXLEN x; XSETID a x; XACK a g x; XCLAIM a g c x 1
        XAUTOCLAIM a g c x 0; XGROUP CREATE a g x; XGROUP SETID a g x; XREADGROUP GROUP g c STREAMS a x
        XREADGROUP GROUP g c STREAMS a $; XREADGROUP GROUP g c STREAMS a b >
        """
    ):
        args = line.encode().split()
        row = find(args)
        assert row.check is not None
        with pytest.raises(CommandError):
            row.check(args)


def test_a_copy_shares_nothing() -> None:
    local = _filled()
    local.do("XREADGROUP GROUP g c STREAMS a >")
    local.do("COPY a b")
    before = local.do("XINFO STREAM b FULL")
    for line in (
        "XADD a 9 f v",
        "XDEL a 1-1",
        "XCLAIM a g d 0 1-2",
        "XGROUP CREATE a h 0",
        "XTRIM a MAXLEN 0",
    ):
        local.do(line)
    assert local.do("XINFO STREAM b FULL") == before
    assert local.do("SCAN 0 TYPE stream")[1] == [b"b", b"a"]
