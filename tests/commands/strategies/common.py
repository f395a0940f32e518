"""Keys, values and numbers that tend to be interesting, and words for commands."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from hypothesis import strategies as st


class Later(NamedTuple):
    """A relative time. Written out with its place in the sequence added, so that no two are alike:
    which of two equal ones is later would depend on the milliseconds between the commands."""

    amount_s: int
    per_second: int

    def text(self, place: int) -> bytes:
        return b"%d" % ((self.amount_s + 10 * place) * self.per_second)


Word: TypeAlias = bytes | Later
Args: TypeAlias = list[Word]

KEYS = [b"a", b"b", b"c", b"{a}1", b"", b"k\xff\r\n", b"key:1"]
"""Few, so that commands meet. `a` and `{a}1` share a slot."""

keys = st.sampled_from(KEYS)

INTEGERS = [
    b"0", b"1", b"-1", b"2", b"5", b"10", b"-3", b"100", b"9999", b"10000", b"2147483647", b"-2147483648",
    b"2147483648", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775800",
]  # fmt: skip

ODD_INTEGERS = [
    b"", b" 1", b"1 ", b"+1", b"-0", b"00", b"01", b"-01", b"1.0", b"1e3", b"0x10", b"abc", b"-", b"--1",
    b"9223372036854775808", b"-9223372036854775809", b"92233720368547758070", b"1_000", b"\xd9\xa1",
]  # fmt: skip

FLOATS = [
    b"0.1", b"0.2", b"-0.3", b"1.5", b"3.0e3", b"5.0e3", b"-5e-7", b"1e17", b"1.1", b"10.5", b".5", b"5.",
    b"+1.25", b"0x1p3", b"0X.8", b"-0x1.8P-2", b"1e100", b"-1e100", b"1e-20", b"1e4000", b"1e-4940",
    b"3.3333333333333333333", b"123456789012345678901234567890", b"0.000000000000000005",
    b"-0.0", b"18446744073709551615",
    b"18446744073709551617", b"1e4932", b"-1e4932",
]  # fmt: skip

ODD_FLOATS = [
    b"inf", b"-inf", b"+Infinity", b"nan", b"-nan", b"nan(1)", b"1e5000", b"-1e5000", b"1e-5000", b"1e",
    b"0x", b"0xg", b"1.2.3", b".", b"e5", b"1 2", b"infinit", b"1e99999999999999999999", b"0e99999999999",
    b"1e-99999999999",
]  # fmt: skip

integers = st.sampled_from(INTEGERS)
any_integers = st.one_of(
    integers, integers, st.integers(-20, 20).map(lambda n: b"%d" % n), st.sampled_from(ODD_INTEGERS)
)
any_floats = st.one_of(
    st.sampled_from(FLOATS),
    st.sampled_from(FLOATS + ODD_FLOATS),
    integers,
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=7).map(
        lambda number: str(number).encode()
    ),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda number: repr(number).encode()),
)
texts = st.one_of(
    st.sampled_from([b"", b"x", b"hello world", b"abcabba", b"cbabac", b"\x00\xff"]), st.binary(max_size=60)
)
values = st.one_of(texts, integers, st.sampled_from(FLOATS))

past_s = st.sampled_from([b"1", b"1000000000", b"-1", b"0"])
past_ms = st.sampled_from([b"1", b"1000000000000", b"-1", b"0"])
future_s = st.sampled_from([b"4102444800", b"4102444801", b"9000000000", b"9223372036854775"])
future_ms = st.sampled_from(
    [b"4102444800000", b"4102444800500", b"4102444800499", b"9000000000000", b"9223372036854775807"]
)
bad_times = st.sampled_from(
    [b"0", b"-1", b"9223372036854775807", b"-9223372036854775808", b"9223372036854776", b"x", b"", b"1.5"]
)

later_s = st.builds(Later, st.sampled_from([1_000, 5_000, 100_000]), st.just(1))
later_ms = st.builds(Later, st.sampled_from([1_000, 5_000, 100_000]), st.just(1_000))

seconds = st.one_of(later_s, later_s, bad_times)
milliseconds = st.one_of(later_ms, later_ms, bad_times)
unix_seconds = st.one_of(future_s, future_s, past_s, bad_times)
unix_milliseconds = st.one_of(future_ms, future_ms, past_ms, bad_times)


@st.composite
def cased(draw: st.DrawFn, word: bytes) -> bytes:
    """A word in upper, lower or mixed case."""
    return draw(st.sampled_from([word, word, word.lower(), word.title()]))


def call(name: str, *parts: st.SearchStrategy[Word] | st.SearchStrategy[Args]) -> st.SearchStrategy[Args]:
    """A command and its arguments; a part may be one word or a list of words."""
    return st.tuples(cased(name.encode()), *parts).map(_flat)


def _flat(parts: tuple[Word | Args, ...]) -> Args:
    words: Args = []
    for part in parts:
        words += part if isinstance(part, list) else [part]
    return words


def option(name: str, *parts: st.SearchStrategy[Word]) -> st.SearchStrategy[Args]:
    """An option and its arguments."""
    return call(name, *parts)


def options(*choices: st.SearchStrategy[Args], most: int = 3) -> st.SearchStrategy[Args]:
    """Some of the options in any order, often none, sometimes one twice."""
    return st.lists(st.one_of(choices), max_size=most).map(
        lambda lists: [word for words in lists for word in words]
    )


def several(*parts: st.SearchStrategy[Word], most: int = 4) -> st.SearchStrategy[Args]:
    """One or more groups of words."""
    return st.lists(st.tuples(*parts), min_size=1, max_size=most).map(
        lambda groups: [word for group in groups for word in group]
    )


ODD_WORDS = [
    b"",
    b"NX",
    b"GET",
    b"EX",
    b"10",
    b"-1",
    b"DB",
    b"junk",
    b"*",
    b"\r\n-ERR x",
    b"COUNT",
    b"x" * 150,
]


@st.composite
def spoiled(draw: st.DrawFn, sound: st.SearchStrategy[Args]) -> Args:
    """A command with a word too few, too many, or wrong."""
    words = list(draw(sound))
    place = draw(st.integers(0, len(words)))
    odd = draw(st.one_of(st.sampled_from(ODD_WORDS), keys, any_integers))
    how = draw(st.sampled_from(["drop", "add", "replace"]))
    if how == "add" and place:
        words.insert(place, odd)
    elif place < len(words) and (place or how == "replace"):
        words[place : place + 1] = [odd] if how == "replace" else []
    return words
