"""The users there are on this node, passwords checked, and what ACL LOG keeps.

Users are state (`Keyspace.users`). The default user is everybody's until it is changed; a node whose settings
have `requirepass` asks for that as long as the state says that the default user needs no password.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ironkv.commands.acl_rules import hashed
from ironkv.commands.permissions import Reason
from ironkv.keyspace.keyspace import Keyspace
from ironkv.keyspace.users import DEFAULT_NAME, DEFAULT_USER, User

SAME_WITHIN_MS: Final = 60_000
"""The same refusal within this time is counted, not logged again."""
NAME_MOST: Final = 256
"""Bytes of an object's name that are kept."""


@dataclass(slots=True)
class Logged:
    """An entry of ACL LOG."""

    id: int
    reason: Reason
    context: bytes
    """`toplevel`, `multi` or `lua`."""
    object: bytes
    user: bytes
    client: bytes
    """Its line of CLIENT LIST."""
    created_ms: int
    updated_ms: int
    count: int = 1


class AclLog:
    """Refusals lately, newest first; of this node alone, as in Redis."""

    def __init__(self) -> None:
        self.entries: list[Logged] = []
        self.most = 128
        """acllog-max-len"""
        self.denied = dict.fromkeys(Reason, 0)
        self._last_id = 0

    def add(
        self, reason: Reason, context: bytes, what: bytes, user: bytes, client: bytes, now_ms: int
    ) -> None:
        what, user = what[:NAME_MOST], user[:NAME_MOST]
        self.denied[reason] += 1
        for place, entry in enumerate(self.entries[:10]):
            same = (entry.reason, entry.context, entry.object, entry.user) == (reason, context, what, user)
            if same and now_ms - entry.updated_ms <= SAME_WITHIN_MS:
                entry.count += 1
                entry.updated_ms, entry.client = now_ms, client
                self.entries.insert(0, self.entries.pop(place))
                return
        self.entries.insert(0, Logged(self._last_id, reason, context, what, user, client, now_ms, now_ms))
        self._last_id += 1
        del self.entries[self.most :]

    def clear(self) -> None:
        self.entries.clear()


class Accounts:
    """Who may come in; `requirepass` gives the setting of that name as it is now."""

    def __init__(self, keyspace: Keyspace, requirepass: Callable[[], str]) -> None:
        self._keyspace = keyspace
        self._requirepass = requirepass
        self.log = AclLog()
        self._told = ""

    def told(self, password: str) -> None:
        """CONFIG SET requirepass was given here: CONFIG GET shows it, as long as it is the default user's."""
        self._told = password

    def password_shown(self) -> str:
        """The default user's password, if this node has been told it; else empty."""
        user = self.user(DEFAULT_NAME)
        for password in (self._told, self._requirepass()):
            if password and user is not None and _hash(password) in user.passwords:
                return password
        return ""

    def user(self, name: bytes) -> User | None:
        """The user as of what this node has applied."""
        user = self._keyspace.users.get(name)
        if name != DEFAULT_NAME:
            return user
        user = user or DEFAULT_USER
        password = self._requirepass()
        if user.nopass and password:
            user = replace(user, nopass=False, passwords=(_hash(password),))
        return user

    def everyone(self) -> list[User]:
        """By name."""
        names = sorted({*self._keyspace.users, DEFAULT_NAME})
        return [user for name in names if (user := self.user(name)) is not None]

    @property
    def open(self) -> bool:
        """Whether whoever connects is the default user without being asked."""
        user = self.user(DEFAULT_NAME)
        return user is not None and user.enabled and user.nopass

    def accepts(self, name: bytes, password: bytes) -> bool:
        """Whether this user exists, is enabled and has this password."""
        user = self.user(name)
        if user is None or not user.enabled:
            return False
        if user.nopass:
            return True
        given = hashed(password)
        return any(hmac.compare_digest(given, known) for known in user.passwords)


def _hash(password: str) -> bytes:
    return hashed(password.encode("utf-8", "surrogateescape"))
