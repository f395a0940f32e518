"""What the words of ACL SETUSER mean: `on`, `>password`, `~key*`, `+@read`, `(…)`.

A rule's commands are kept as they were said, without what a later word takes back, as Redis 7.2 does.
https://redis.io/docs/latest/commands/acl-setuser/
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from ironkv.commands.table import TABLE, Command
from ironkv.errors import CommandError
from ironkv.keyspace.users import READ, WRITE, Selector, User
from ironkv.resp.inline import split_words

CATEGORIES: Final = (
    "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo",
    "stream", "pubsub", "admin", "fast", "slow", "blocking", "dangerous", "connection", "transaction",
    "scripting",
)  # fmt: skip
"""In the order in which ACL CAT gives them."""

UNKNOWN: Final = "Unknown command or category name in ACL"
SYNTAX: Final = "Syntax error"
NO_SUBCOMMAND: Final = "Allowing first-arg of a subcommand is not supported"
NO_SUCH_PASSWORD: Final = "The password you are trying to remove from the user does not exist"
NO_HASH: Final = (
    "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
)
AFTER_ALL_KEYS: Final = (
    "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. "
    "Try 'resetkeys' to start with an empty list of patterns"
)
AFTER_ALL_CHANNELS: Final = (
    "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any "
    "effect. Try 'resetchannels' to start with an empty list of channels"
)
_is_hash = re.compile(rb"[0-9a-f]{64}").fullmatch
_has_blank = re.compile(rb"[\t-\r \0]").search


class Wrong(Exception):
    """A word that makes no sense; the message is Redis's."""


def hashed(password: bytes) -> bytes:
    """As passwords are kept: SHA-256 in hexadecimal."""
    return sha256(password).hexdigest().encode()


def without_passwords(words: list[bytes]) -> list[bytes]:
    """The same words with every password as its hash: what may be logged and written."""
    told = {b">": b"#", b"<": b"!"}
    return [told[word[:1]] + hashed(word[1:]) if word[:1] in told else word for word in words]


def merged(words: list[bytes]) -> list[bytes]:
    """Words with each selector `( … )` in one. Raises CommandError."""
    found: list[bytes] = []
    opened: bytes | None = None
    first = b""
    for word in words:
        if word.startswith(b"(") and not word.endswith(b")"):
            opened = first = word
        elif opened is None:
            found.append(word)
        else:
            opened += b" " + word
            if word.endswith(b")"):
                found.append(opened)
                opened = None
    if opened is not None:
        raise CommandError(f"ERR Unmatched parenthesis in acl selector starting at '{text(first)}'.")
    return found


def changed(user: User, words: Iterable[bytes]) -> User:
    """The user with all the words applied. Raises CommandError, naming the first that is wrong."""
    for word in words:
        try:
            user = _applied(user, word)
        except Wrong as wrong:
            raise CommandError(f"ERR Error in ACL SETUSER modifier '{text(word)}': {wrong}") from None
    return user


def _applied(user: User, word: bytes) -> User:
    match word.lower():
        case b"on":
            return replace(user, enabled=True)
        case b"off":
            return replace(user, enabled=False)
        case b"nopass":
            return replace(user, nopass=True, passwords=())
        case b"skip-sanitize-payload":
            return replace(user, trusted_payloads=True)
        case b"sanitize-payload":
            return replace(user, trusted_payloads=False)
        case b"resetpass":
            return replace(user, nopass=False, passwords=())
        case b"clearselectors":
            return replace(user, selectors=())
        case b"reset":
            return User(user.name)
    if word[:1] in (b">", b"#"):
        return _with_password(user, hashed(word[1:]) if word[:1] == b">" else word[1:])
    if word[:1] in (b"<", b"!"):
        return _without_password(user, hashed(word[1:]) if word[:1] == b"<" else word[1:])
    if word[:1] == b"(":
        if word[-1:] != b")" or len(word) < 2:
            raise Wrong(SYNTAX)
        selector = Selector()
        for inner in split_words(word[1:-1]) or ():
            selector = _selected(selector, inner)
        return replace(user, selectors=(*user.selectors, selector))
    return replace(user, root=_selected(user.root, word))


def _with_password(user: User, password: bytes) -> User:
    if not _is_hash(password):
        raise Wrong(NO_HASH)
    known = user.passwords if password in user.passwords else (*user.passwords, password)
    return replace(user, nopass=False, passwords=known)


def _without_password(user: User, password: bytes) -> User:
    if not _is_hash(password):
        raise Wrong(NO_HASH)
    if password not in user.passwords:
        raise Wrong(NO_SUCH_PASSWORD)
    return replace(user, passwords=tuple(known for known in user.passwords if known != password))


def _selected(selector: Selector, word: bytes) -> Selector:
    match word.lower():
        case b"allkeys" | b"~*":
            return replace(selector, all_keys=True, keys=())
        case b"resetkeys":
            return replace(selector, all_keys=False, keys=())
        case b"allchannels" | b"&*":
            return replace(selector, all_channels=True, channels=())
        case b"resetchannels":
            return replace(selector, all_channels=False, channels=())
        case b"allcommands" | b"+@all":
            return replace(selector, all_commands=True, commands=())
        case b"nocommands" | b"-@all":
            return replace(selector, all_commands=False, commands=())
    if word[:1] in (b"~", b"%"):
        return _with_keys(selector, word)
    if word[:1] == b"&":
        return _with_channel(selector, word[1:])
    if word[:1] in (b"+", b"-"):
        return replace(selector, commands=_with_command(selector.commands, word.lower()))
    raise Wrong(SYNTAX)


def _with_keys(selector: Selector, word: bytes) -> Selector:
    if selector.all_keys:
        raise Wrong(AFTER_ALL_KEYS)
    letters, tilde, pattern = word.partition(b"~")
    letters = letters.upper()
    if not tilde or letters not in (b"", b"%R", b"%W", b"%RW", b"%WR") or _has_blank(pattern):
        raise Wrong(SYNTAX)
    uses = READ * (b"R" in letters) | WRITE * (b"W" in letters) if letters else READ | WRITE
    keys = {known: flags for flags, known in selector.keys}
    keys[pattern] = keys.get(pattern, 0) | uses
    return replace(selector, keys=tuple((flags, known) for known, flags in keys.items()))


def _with_channel(selector: Selector, pattern: bytes) -> Selector:
    if selector.all_channels:
        raise Wrong(AFTER_ALL_CHANNELS)
    if _has_blank(pattern):
        raise Wrong(SYNTAX)
    return replace(selector, channels=tuple(dict.fromkeys((*selector.channels, pattern))))


def _with_command(commands: tuple[bytes, ...], word: bytes) -> tuple[bytes, ...]:
    """Add `+get`, `-config|set`, `+@read` …; what it overrules by name is dropped."""
    name = word[1:]
    if name[:1] == b"@":
        if text(name[1:]) not in CATEGORIES:
            raise Wrong(UNKNOWN)
    else:
        _check_name(word)
    kept = [known for known in commands if known[1:] != name and not known[1:].startswith(name + b"|")]
    return (*kept, word)


def _check_name(word: bytes) -> None:
    container, bar, rest = word[1:].partition(b"|")
    row = TABLE.get(container.upper())
    if row is None:
        raise Wrong(UNKNOWN)
    if not bar:
        return
    if b"|" in rest:
        raise Wrong(NO_SUBCOMMAND if rest.partition(b"|")[0].upper() in row.subcommands else UNKNOWN)
    if row.subcommands:
        if rest and rest.upper() not in row.subcommands:
            raise Wrong(UNKNOWN)
    elif word[:1] == b"-":  # one argument can be allowed, not refused
        raise Wrong(UNKNOWN)
    if not rest:
        raise Wrong(SYNTAX)


def matches(word: bytes, row: Command, args: list[bytes]) -> bool:
    """Whether `+…` or `-…` is about this request."""
    name = word[1:].decode("utf-8", "surrogateescape")
    if name[0] == "@":
        return name[1:] in row.acl_categories
    if name == row.lower_name:
        return True
    container, bar, _ = name.partition("|")
    if not bar:
        return row.lower_name.partition("|")[0] == name
    # The first argument of a command without subcommands: `+select|0`.
    return container == row.lower_name and len(args) > 1 and args[1].lower() == word[2 + len(container) :]


def text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
