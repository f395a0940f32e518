"""Publish and subscribe: SUBSCRIBE and its kin, PUBLISH, PUBSUB.
https://redis.io/docs/latest/develop/interact/pubsub/

Messages are no state: they go to whoever listens, on any node of the cluster, at most once, and leave nothing
behind. So all of this is LOCAL, and works without a leader.
"""

from __future__ import annotations

from typing import Final

from ironkv.commands.help_texts import help_of
from ironkv.commands.patterns import matcher
from ironkv.commands.session import Session
from ironkv.commands.subscriptions import Kind, count
from ironkv.commands.table import Args, Route, command
from ironkv.errors import CommandError
from ironkv.resp.replies import Push, Pushes, Reply

HELP: Final = help_of(
    "PUBSUB",
    """
CHANNELS [<pattern>]
    Return the currently active channels matching a <pattern> (default: '*').
NUMPAT
    Return number of subscriptions to patterns.
NUMSUB [<channel> ...]
    Return the number of subscribers for the specified channels, excluding
    pattern subscriptions(default: no channels).
SHARDCHANNELS [<pattern>]
    Return the currently active shard level channels matching a <pattern> (default: '*').
SHARDNUMSUB [<shardchannel> ...]
    Return the number of subscribers for the specified shard level channel(s)
""",
)


# -- subscribing


def _subscribe(session: Session, kind: Kind, names: list[bytes]) -> Reply:
    confirmations = Pushes()
    for name in names:
        session.node.pubsub.subscribe(session, kind, name)
        total = count(session.subscriptions, kind)
        confirmations.append(Push([kind.value + b"subscribe", name, total]))
    return confirmations


def _unsubscribe(session: Session, kind: Kind, names: list[bytes]) -> Reply:
    """From these names; without any from all there are, and there is an answer even if there are none."""
    if not names and session.subscriptions is not None:
        names = list(session.subscriptions[kind])
    word = kind.value + b"unsubscribe"
    if not names:
        return Pushes([Push([word, None, count(session.subscriptions, kind)])])
    confirmations = Pushes()
    for name in names:
        session.node.pubsub.unsubscribe(session, kind, name)
        confirmations.append(Push([word, name, count(session.subscriptions, kind)]))
    return confirmations


@command(
    "SUBSCRIBE",
    -2,
    Route.LOCAL,
    "pubsub noscript loading stale",
    group="pubsub",
    since="2.0.0",
    complexity="O(N) where N is the number of channels to subscribe to.",
    summary="Listens for messages published to channels.",
)
def subscribe(session: Session, args: Args) -> Reply:
    """SUBSCRIBE channel [channel ...]"""
    return _subscribe(session, Kind.CHANNEL, args[1:])


@command(
    "UNSUBSCRIBE",
    -1,
    Route.LOCAL,
    "pubsub noscript loading stale",
    group="pubsub",
    since="2.0.0",
    complexity="O(N) where N is the number of channels to unsubscribe.",
    summary="Stops listening to messages posted to channels.",
)
def unsubscribe(session: Session, args: Args) -> Reply:
    """UNSUBSCRIBE [channel [channel ...]]"""
    return _unsubscribe(session, Kind.CHANNEL, args[1:])


@command(
    "PSUBSCRIBE",
    -2,
    Route.LOCAL,
    "pubsub noscript loading stale",
    group="pubsub",
    since="2.0.0",
    complexity="O(N) where N is the number of patterns to subscribe to.",
    summary="Listens for messages published to channels that match one or more patterns.",
)
def psubscribe(session: Session, args: Args) -> Reply:
    """PSUBSCRIBE pattern [pattern ...]"""
    return _subscribe(session, Kind.PATTERN, args[1:])


@command(
    "PUNSUBSCRIBE",
    -1,
    Route.LOCAL,
    "pubsub noscript loading stale",
    group="pubsub",
    since="2.0.0",
    complexity="O(N) where N is the number of patterns to unsubscribe.",
    summary="Stops listening to messages published to channels that match one or more patterns.",
)
def punsubscribe(session: Session, args: Args) -> Reply:
    """PUNSUBSCRIBE [pattern [pattern ...]]"""
    return _unsubscribe(session, Kind.PATTERN, args[1:])


@command(
    "SSUBSCRIBE",
    -2,
    Route.LOCAL,
    "pubsub noscript loading stale",
    keys=(1, -1, 1),
    group="pubsub",
    since="7.0.0",
    complexity="O(N) where N is the number of shard channels to subscribe to.",
    summary="Listens for messages published to shard channels.",
)
def ssubscribe(session: Session, args: Args) -> Reply:
    """SSUBSCRIBE shardchannel [shardchannel ...]"""
    return _subscribe(session, Kind.SHARD, args[1:])


@command(
    "SUNSUBSCRIBE",
    -1,
    Route.LOCAL,
    "pubsub noscript loading stale",
    keys=(1, -1, 1),
    group="pubsub",
    since="7.0.0",
    complexity="O(N) where N is the number of shard channels to unsubscribe.",
    summary="Stops listening to messages posted to shard channels.",
)
def sunsubscribe(session: Session, args: Args) -> Reply:
    """SUNSUBSCRIBE [shardchannel [shardchannel ...]]"""
    return _unsubscribe(session, Kind.SHARD, args[1:])


# -- publishing


@command(
    "PUBLISH",
    3,
    Route.LOCAL,
    "pubsub loading stale fast",
    group="pubsub",
    since="2.0.0",
    complexity="O(N+M) where N is the number of clients subscribed to the receiving channel and M is the "
    "total number of subscribed patterns (by any client).",
    summary="Posts a message to a channel.",
)
def publish(session: Session, args: Args) -> Reply:
    """PUBLISH channel message: how many clients of this node get it, as in Redis Cluster. It is sent to the
    other nodes as well; how many hear it there is not known without waiting for them."""
    return session.node.pubsub.publish(args[1], args[2], session)


@command(
    "SPUBLISH",
    3,
    Route.LOCAL,
    "pubsub loading stale fast",
    keys=(1, 1, 1),
    group="pubsub",
    since="7.0.0",
    complexity="O(N) where N is the number of clients subscribed to the receiving shard channel.",
    summary="Posts a message to a shard channel.",
)
def spublish(session: Session, args: Args) -> Reply:
    """SPUBLISH shardchannel message: all slots are on all nodes here, so it goes where PUBLISH goes."""
    return session.node.pubsub.publish_to_shard(args[1], args[2], session)


# -- looking


@command(
    "PUBSUB",
    -2,
    Route.LOCAL,
    "",
    group="pubsub",
    since="2.8.0",
    complexity="Depends on subcommand.",
    summary="A container for Pub/Sub commands.",
)
def pubsub(session: Session, args: Args) -> Reply:
    """PUBSUB subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


def _matching(session: Session, kind: Kind, args: Args) -> Reply:
    """Channels that somebody on this node is subscribed to."""
    if len(args) > 3:
        name = args[1].decode("utf-8", "surrogateescape")
        raise CommandError(
            f"ERR unknown subcommand or wrong number of arguments for '{name}'. Try PUBSUB HELP."
        )
    names = session.node.pubsub.audience(kind)
    if len(args) == 2:
        return list(names)
    matches = matcher(args[2])
    return [name for name in names if matches(name)]


def _numbers(session: Session, kind: Kind, channels: list[bytes]) -> Reply:
    names = session.node.pubsub.audience(kind)
    found: list[Reply] = []
    for channel in channels:
        found += channel, len(names.get(channel, ()))
    return found


@command(
    "PUBSUB|CHANNELS",
    -2,
    Route.LOCAL,
    "pubsub loading stale",
    group="pubsub",
    since="2.8.0",
    complexity="O(N) where N is the number of active channels, and assuming constant time pattern matching "
    "(relatively short channels and patterns)",
    summary="Returns the active channels.",
)
def pubsub_channels(session: Session, args: Args) -> Reply:
    """PUBSUB CHANNELS [pattern]: of this node."""
    return _matching(session, Kind.CHANNEL, args)


@command(
    "PUBSUB|NUMSUB",
    -2,
    Route.LOCAL,
    "pubsub loading stale",
    group="pubsub",
    since="2.8.0",
    complexity="O(N) for the NUMSUB subcommand, where N is the number of requested channels",
    summary="Returns a count of subscribers to channels.",
)
def pubsub_numsub(session: Session, args: Args) -> Reply:
    """PUBSUB NUMSUB [channel [channel ...]]: on this node."""
    return _numbers(session, Kind.CHANNEL, args[2:])


@command(
    "PUBSUB|NUMPAT",
    2,
    Route.LOCAL,
    "pubsub loading stale",
    group="pubsub",
    since="2.8.0",
    complexity="O(1)",
    summary="Returns a count of unique pattern subscriptions.",
)
def pubsub_numpat(session: Session, args: Args) -> Reply:
    """PUBSUB NUMPAT: on this node."""
    return len(session.node.pubsub.audience(Kind.PATTERN))


@command(
    "PUBSUB|SHARDCHANNELS",
    -2,
    Route.LOCAL,
    "pubsub loading stale",
    group="pubsub",
    since="7.0.0",
    complexity="O(N) where N is the number of active shard channels, and assuming constant time pattern "
    "matching (relatively short shard channels).",
    summary="Returns the active shard channels.",
)
def pubsub_shardchannels(session: Session, args: Args) -> Reply:
    """PUBSUB SHARDCHANNELS [pattern]: of this node."""
    return _matching(session, Kind.SHARD, args)


@command(
    "PUBSUB|SHARDNUMSUB",
    -2,
    Route.LOCAL,
    "pubsub loading stale",
    group="pubsub",
    since="7.0.0",
    complexity="O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
    summary="Returns the count of subscribers of shard channels.",
)
def pubsub_shardnumsub(session: Session, args: Args) -> Reply:
    """PUBSUB SHARDNUMSUB [shardchannel [shardchannel ...]]: on this node."""
    return _numbers(session, Kind.SHARD, args[2:])


@command(
    "PUBSUB|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="pubsub",
    since="6.2.0",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
    categories="-pubsub",
)
def pubsub_help(session: Session, args: Args) -> Reply:
    """PUBSUB HELP"""
    return HELP
