"""ACL: users and what they may do. Changing them is a write; the rules are in `acl_rules`, checks in
`permissions`, and who comes in with which password in `accounts`."""

from __future__ import annotations

import secrets
from typing import Any, Final

from ironkv.commands.acl_rules import CATEGORIES, changed, merged, text, without_passwords
from ironkv.commands.arguments import integer
from ironkv.commands.help_texts import help_of
from ironkv.commands.permissions import permissions_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Command, Route, command, commands, find
from ironkv.errors import CommandError
from ironkv.keyspace.keyspace import Database
from ironkv.keyspace.users import DEFAULT_NAME, DEFAULT_USER, Selector, User
from ironkv.resp.replies import OK, Members, Reply, Status

GENPASS_MOST: Final = 4096
LOG_SHOWN: Final = 10
NO_FILE: Final = (
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL "
    "SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in "
    "order to store users in the Redis configuration."
)
_HELP: Final = help_of(
    "ACL",
    """
CAT [<category>]
    List all commands that belong to <category>, or all command categories
    when no category is specified.
DELUSER <username> [<username> ...]
    Delete a list of users.
DRYRUN <username> <command> [<arg> ...]
    Returns whether the user can execute the given command without executing the command.
GETUSER <username>
    Get the user's details.
GENPASS [<bits>]
    Generate a secure 256-bit user password. The optional `bits` argument can
    be used to specify a different size.
LIST
    Show users details in config file format.
LOAD
    Reload users from the ACL file.
LOG [<count> | RESET]
    Show the ACL log entries.
SAVE
    Save the current config to the ACL file.
SETUSER <username> <attribute> [<attribute> ...]
    Create or modify a user with the specified attributes.
USERS
    List all the registered usernames.
WHOAMI
    Return the current connection username.
""",
)


@command(
    "ACL",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="6.0.0",
    complexity="Depends on subcommand.",
    summary="A container for Access List Control commands.",
)
def acl(session: Session, args: Args) -> Reply:
    """ACL subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


# -- changing users


def check_setuser(args: Args) -> None:
    """ACL SETUSER username [rule ...]. From here on `args` has no password, only hashes: what is logged is
    kept for long, and read by others. Raises CommandError."""
    if any(byte in b"\t\n\v\f\r \0" for byte in args[2]):
        raise CommandError("ERR Usernames can't contain spaces or null characters")
    args[3:] = without_passwords(merged(args[3:]))


@command(
    "ACL|SETUSER",
    -3,
    Route.WRITE,
    "admin noscript loading stale",
    check=check_setuser,
    group="server",
    since="6.0.0",
    complexity="O(N). Where N is the number of rules provided.",
    summary="Creates and modifies an ACL user and its rules.",
)
def acl_setuser(db: Database, args: Args, now_ms: int) -> Reply:
    """ACL SETUSER username [rule [rule ...]]"""
    keyspace, name = db.keyspace, args[2]
    known = keyspace.users.get(name, DEFAULT_USER if name == DEFAULT_NAME else User(name))
    keyspace.users[name] = changed(known, args[3:])
    keyspace.tell_users()
    return OK


def check_deluser(args: Args) -> None:
    """ACL DELUSER username [username ...]. Raises CommandError."""
    if DEFAULT_NAME in args[2:]:
        raise CommandError("ERR The 'default' user cannot be removed")


@command(
    "ACL|DELUSER",
    -3,
    Route.WRITE,
    "admin noscript loading stale",
    check=check_deluser,
    group="server",
    since="6.0.0",
    complexity="O(1) amortized time considering the typical user.",
    summary="Deletes ACL users, and terminates their connections.",
)
def acl_deluser(db: Database, args: Args, now_ms: int) -> Reply:
    """ACL DELUSER username [username ...]"""
    check_deluser(args)
    users = db.keyspace.users
    removed = sum(users.pop(name, None) is not None for name in args[2:])
    if removed:
        db.keyspace.tell_users()
    return removed


# -- looking at them


@command(
    "ACL|GETUSER",
    3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(N). Where N is the number of password, command and pattern rules that the user has.",
    summary="Lists the ACL rules of a user.",
)
def acl_getuser(session: Session, args: Args) -> Reply:
    """ACL GETUSER username"""
    user = session.node.accounts.user(args[2])
    if user is None:
        return None
    return {
        b"flags": Members(Status(flag) for flag in user.flags()),
        b"passwords": list(user.passwords),
        **_described(user.root),
        b"selectors": [_described(selector) for selector in user.selectors],
    }


def _described(selector: Selector) -> dict[bytes, Any]:
    keys = b" ".join(word for word in selector.words() if word[:1] in (b"~", b"%"))
    channels = b"&*" if selector.all_channels else b" ".join(b"&" + name for name in selector.channels)
    return {b"commands": b" ".join(selector.command_words()), b"keys": keys, b"channels": channels}


@command(
    "ACL|LIST",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
    summary="Dumps the effective rules in ACL file format.",
)
def acl_list(session: Session, args: Args) -> Reply:
    """ACL LIST"""
    return [b"user %b %b" % (user.name, rule_of(user)) for user in session.node.accounts.everyone()]


def rule_of(user: User) -> bytes:
    """The rule that makes the user, as ACL LIST and an ACL file have it."""
    passwords = [b"#" + password for password in user.passwords]
    selectors = [b"(%b)" % b" ".join(selector.words()) for selector in user.selectors]
    return b" ".join([*user.flags(), *passwords, *user.root.words(), *selectors])


@command(
    "ACL|USERS",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
    summary="Lists all ACL users.",
)
def acl_users(session: Session, args: Args) -> Reply:
    """ACL USERS"""
    return [user.name for user in session.node.accounts.everyone()]


@command(
    "ACL|WHOAMI",
    2,
    Route.LOCAL,
    "noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(1)",
    summary="Returns the authenticated username of the current connection.",
)
def acl_whoami(session: Session, args: Args) -> Reply:
    """ACL WHOAMI"""
    return session.user


@command(
    "ACL|CAT",
    -2,
    Route.LOCAL,
    "noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(1) since the categories and commands are a fixed set.",
    summary="Lists the ACL categories, or the commands inside a category.",
)
def acl_cat(session: Session, args: Args) -> Reply:
    """ACL CAT [category]"""
    if len(args) > 3:
        raise _misused(args)
    if len(args) == 2:
        return [category.encode() for category in CATEGORIES]
    category = text(args[2]).lower()
    if category not in CATEGORIES:
        raise CommandError(f"ERR Unknown category '{text(args[2])}'")
    return [row.lower_name.encode() for row in _all_rows() if category in row.acl_categories]


def _all_rows() -> list[Command]:
    return [row for top in commands() for row in (top, *top.subcommands.values())]


def _misused(args: Args) -> CommandError:
    return CommandError(
        f"ERR unknown subcommand or wrong number of arguments for '{text(args[1])[:128]}'. Try ACL HELP."
    )


@command(
    "ACL|DRYRUN",
    -4,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="7.0.0",
    complexity="O(1).",
    summary="Simulates the execution of a command by a user, without executing the command.",
)
def acl_dryrun(session: Session, args: Args) -> Reply:
    """ACL DRYRUN username command [arg [arg ...]]"""
    user = session.node.accounts.user(args[2])
    if user is None:
        raise CommandError(f"ERR User '{text(args[2])}' not found")
    try:
        row = find(args[3:])
    except CommandError as error:
        if not str(error).startswith("ERR wrong number"):
            raise CommandError(f"ERR Command '{text(args[3])}' not found") from None
        raise
    denial = permissions_of(user).denial(row, args[3:])
    return OK if denial is None else denial.told().encode("utf-8", "surrogateescape")


# -- the rest


@command(
    "ACL|GENPASS",
    -2,
    Route.LOCAL,
    "noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(1)",
    summary="Generates a pseudorandom, secure password that can be used to identify ACL users.",
)
def acl_genpass(session: Session, args: Args) -> Reply:
    """ACL GENPASS [bits]"""
    if len(args) > 3:
        raise _misused(args)
    bits = integer(args[2]) if len(args) == 3 else 256
    if not 0 < bits <= GENPASS_MOST:
        raise CommandError(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number "
            f"up to {GENPASS_MOST}"
        )
    digits = (bits + 3) // 4
    return secrets.token_hex((digits + 1) // 2)[:digits].encode()


@command(
    "ACL|LOG",
    -2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(N) with N being the number of entries shown.",
    summary="Lists recent security events generated due to ACL rules.",
)
def acl_log(session: Session, args: Args) -> Reply:
    """ACL LOG [count | RESET]: of this node."""
    log = session.node.accounts.log
    if len(args) > 3:
        raise _misused(args)
    if len(args) == 3 and args[2].upper() == b"RESET":
        log.clear()
        return OK
    count = max(0, integer(args[2])) if len(args) == 3 else LOG_SHOWN
    now_ms = session.node.clock_us() // 1000
    return [
        {
            b"count": entry.count,
            b"reason": entry.reason.value.encode(),
            b"context": entry.context,
            b"object": entry.object,
            b"username": entry.user,
            b"age-seconds": (now_ms - entry.created_ms) / 1000,
            b"client-info": entry.client,
            b"entry-id": entry.id,
            b"timestamp-created": entry.created_ms,
            b"timestamp-last-updated": entry.updated_ms,
        }
        for entry in log.entries[:count]
    ]


@command(
    "ACL|SAVE",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
    summary="Saves the effective ACL rules in the configured ACL file.",
)
def acl_save(session: Session, args: Args) -> Reply:
    """ACL SAVE: there is no file, users are part of what is replicated."""
    raise CommandError(NO_FILE)


@command(
    "ACL|LOAD",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="6.0.0",
    complexity="O(N). Where N is the number of configured users.",
    summary="Reloads the rules from the configured ACL file.",
)
def acl_load(session: Session, args: Args) -> Reply:
    """ACL LOAD: there is no file."""
    raise CommandError(NO_FILE)


@command(
    "ACL|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="6.0.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def acl_help(session: Session, args: Args) -> Reply:
    """ACL HELP"""
    return _HELP
