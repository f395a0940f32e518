"""Users as Redis's ACL has them: who may run what on which keys and channels. State, alike on all nodes.

What the words of a rule mean is in `commands.acl_rules`, what a user may do in `commands.permissions`.
https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

DEFAULT_NAME: Final = b"default"
READ: Final = 1
WRITE: Final = 2


@dataclass(frozen=True, slots=True)
class Selector:
    """One set of permissions; a request must be allowed by one selector as a whole."""

    all_commands: bool = False
    """What `commands` begins from: +@all or -@all."""
    commands: tuple[bytes, ...] = ()
    """`+get`, `-@write`, `+config|get` in the order in which they were said; the last that fits decides."""
    all_keys: bool = False
    keys: tuple[tuple[int, bytes], ...] = ()
    """(READ, WRITE or both, pattern)."""
    all_channels: bool = False
    channels: tuple[bytes, ...] = ()

    @property
    def unrestricted(self) -> bool:
        return self.all_commands and not self.commands and self.all_keys and self.all_channels

    def words(self) -> list[bytes]:
        """The rule that makes it, from nothing."""
        found = [b"~*"] if self.all_keys else [_key_word(*key) for key in self.keys]
        found += [b"&*"] if self.all_channels else [b"resetchannels", *(b"&" + c for c in self.channels)]
        return [*found, *self.command_words()]

    def command_words(self) -> list[bytes]:
        return [b"+@all" if self.all_commands else b"-@all", *self.commands]


def _key_word(uses: int, pattern: bytes) -> bytes:
    head = {READ: b"%R~", WRITE: b"%W~", READ | WRITE: b"~"}[uses]
    return head + pattern


@dataclass(frozen=True, slots=True)
class User:
    """A user; made anew for every change."""

    name: bytes
    enabled: bool = False
    nopass: bool = False
    """Any password will do."""
    trusted_payloads: bool = False
    """`skip-sanitize-payload`: kept and shown; RESTORE checks all the same."""
    passwords: tuple[bytes, ...] = ()
    """SHA-256, 64 hexadecimal digits each."""
    root: Selector = Selector()
    selectors: tuple[Selector, ...] = ()

    @property
    def unrestricted(self) -> bool:
        """It may do all there is to do."""
        return self.root.unrestricted

    def flags(self) -> list[bytes]:
        """As ACL GETUSER gives them."""
        return [
            b"on" if self.enabled else b"off",
            *([b"nopass"] if self.nopass else []),
            b"skip-sanitize-payload" if self.trusted_payloads else b"sanitize-payload",
        ]

    def plain(self) -> list[Any]:
        """Its fields as lists, for an image; `from_plain` is the reverse."""
        return [
            self.name, self.enabled, self.nopass, self.trusted_payloads, self.passwords, _plain(self.root),
            [_plain(selector) for selector in self.selectors],
        ]  # fmt: skip

    @classmethod
    def from_plain(cls, plain: list[Any]) -> User:
        """Raises ValueError or TypeError when it is none."""
        name, enabled, nopass, trusted, passwords, root, selectors = plain
        if type(name) is not bytes or not {type(enabled), type(nopass), type(trusted)} <= {bool}:
            raise TypeError("not a user")
        others = tuple(map(_selector, selectors))
        return cls(name, enabled, nopass, trusted, _texts(passwords), _selector(root), others)


def _plain(selector: Selector) -> list[Any]:
    return [
        selector.all_commands, selector.commands, selector.all_keys, selector.keys, selector.all_channels,
        selector.channels,
    ]  # fmt: skip


def _selector(plain: list[Any]) -> Selector:
    all_commands, commands, all_keys, keys, all_channels, channels = plain
    if not {type(all_commands), type(all_keys), type(all_channels)} <= {bool}:
        raise TypeError("not a selector")
    for uses, pattern in keys:
        if uses not in (READ, WRITE, READ | WRITE) or type(pattern) is not bytes:
            raise TypeError("not a pattern of keys")
    return Selector(
        all_commands,
        _texts(commands),
        all_keys,
        tuple((uses, pattern) for uses, pattern in keys),
        all_channels,
        _texts(channels),
    )


def _texts(items: Iterable[Any]) -> tuple[bytes, ...]:
    found = tuple(items)
    if not set(map(type, found)) <= {bytes}:
        raise TypeError("not a text")
    return found


EVERYTHING: Final = Selector(all_commands=True, all_keys=True, all_channels=True)
DEFAULT_USER: Final = User(DEFAULT_NAME, enabled=True, nopass=True, root=EVERYTHING)
"""Who a connection is before it says otherwise, until that is changed."""
