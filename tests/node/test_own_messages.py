"""What a client's own commands publish comes behind the reply to them, as in Redis since 7.2."""

from __future__ import annotations

import pytest

from ironkv.tools.client import encode
from tests.node.virtual import Client, Maker, VirtualNode

SCRIPT = "redis.call('publish', 'c', 'one') redis.call('publish', 'c', 'two') return 'done'"


@pytest.fixture
def leader(make_cluster: Maker) -> VirtualNode:
    return make_cluster().boot().elect()


def told(client: Client, *requests: list[str]) -> bytes:
    before = len(client.transport.sent)
    client.raw(b"".join(map(encode, requests)))
    client.node.cluster.settle()
    return bytes(client.transport.sent[before:])


@pytest.mark.parametrize("command", [["EVAL", SCRIPT, "0"], ["EVAL", SCRIPT, "1", "k"]])
def test_a_scripts_messages(leader: VirtualNode, command: list[str]) -> None:
    client = leader.client()
    told(client, ["HELLO", "3"], ["SUBSCRIBE", "c"])
    message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$3\r\n%b\r\n"
    messages = message % b"one" + message % b"two"
    assert told(client, command) == b"$4\r\ndone\r\n" + messages
    assert told(client, ["MULTI"], command, ["EXEC"]).endswith(b"*1\r\n$4\r\ndone\r\n" + messages)


def test_events(leader: VirtualNode) -> None:
    client, other = leader.client(), leader.client()
    told(client, ["CONFIG", "SET", "notify-keyspace-events", "KEA"], ["HELLO", "3"])
    told(client, ["SUBSCRIBE", "__keyevent@0__:set"])
    event = b">3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n"
    assert told(client, ["SET", "k", "1"]) == b"+OK\r\n" + event
    before = len(client.transport.sent)
    told(other, ["SET", "k", "2"])
    assert client.transport.sent[before:] == event, "another's does not wait"


def test_messages_keep_their_order(leader: VirtualNode) -> None:
    """What waits for a reply is not overtaken by what is published in the same turn."""
    client, other = leader.client(), leader.client()
    told(client, ["HELLO", "3"], ["SUBSCRIBE", "c"])
    before = len(client.transport.sent)
    client.raw(encode(["SET", "k", "1"]))
    other.raw(encode(["SET", "x", "1"]) + encode(["EVAL", SCRIPT, "0"]) + encode(["PUBLISH", "c", "three"]))
    leader.cluster.settle()
    heard = bytes(client.transport.sent[before:])
    assert heard.startswith(b"+OK\r\n")
    assert [heard.find(word) for word in (b"one", b"two", b"three")] == sorted(
        heard.find(word) for word in (b"one", b"two", b"three")
    )
    assert b"three" in heard
