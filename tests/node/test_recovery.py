"""Nodes that snapshot, trim, crash, recover and catch up, from one seed: equal digests at equal indices."""

from __future__ import annotations

import asyncio
import random
import shutil

import pytest

from ironkv import images
from ironkv.errors import Fault
from ironkv.node.node import Node
from ironkv.node.storage import RECEIVING
from ironkv.node.transfer import OFFER
from ironkv.offline import verify
from ironkv.offline.compact import compact
from ironkv.raft.messages import Role
from ironkv.storage.stopped import StoppedNode
from ironkv.tools.cluster import free_ports
from tests.node.virtual import Client, Cluster, Maker, VirtualNode

TAIL = {"keep_entries": 5, "keep_bytes": 0}


class History:
    """What the state was at each index, as the first node that got there had it."""

    def __init__(self) -> None:
        self.digests: dict[int, bytes] = {}

    def check(self, cluster: Cluster) -> None:
        for node in cluster.nodes.values():
            digest = images.digest_of_keyspace(node.keyspace)
            index = node.machine.applied
            assert self.digests.setdefault(index, digest) == digest, f"{node.id} differs at entry {index}"


def command(chance: random.Random) -> str:
    key, other = (f"k{chance.randrange(40)}" for _ in range(2))
    return chance.choice(
        [
            f"SET {key} {chance.randrange(1000)}",
            f"SET {key} {'x' * chance.randrange(3000)} PX {chance.randrange(1, 4000)}",
            f"APPEND {key} yy",
            f"DEL {key} {other}",
            f"RENAME {key} {other}",
            f"HSET h{key} f{chance.randrange(9)} v",
            f"LPUSH l{key} a b c",
            f"RPOP l{key} 2",
            f"ZADD z{key} {chance.randrange(100)} m{chance.randrange(50)}",
            f"SADD s{key} {' '.join(str(chance.randrange(600)) for _ in range(20))}",
            f"SPOP s{key} 3",
            f"XADD x{key} * f v",
            f"XGROUP CREATE x{key} g 0 MKSTREAM",
            "EVAL redis.call('INCR',KEYS[1]) 1 counter",
            "SWAPDB 0 1",
            "FLUSHDB" if chance.random() < 0.1 else "SELECT 1",
            "SELECT 0",
        ]
    )


def talk(client: Client, chance: random.Random) -> None:
    client.send(*(command(chance) for _ in range(chance.randrange(1, 12))))


@pytest.mark.parametrize("seed", range(12))
def test_one_node_stopped_at_arbitrary_points(make_cluster: Maker, seed: int) -> None:
    chance = random.Random(seed)
    cluster = make_cluster(1, snapshot=TAIL).boot()
    history = History()
    cluster.advance(100)
    acknowledged = 0
    for _ in range(40):
        node = next(iter(cluster.nodes.values()))
        client = node.client()
        talk(client, chance)
        cluster.advance(chance.choice((0, 1, 10, 900)))
        history.check(cluster)
        acknowledged = max(acknowledged, node.core.durable_index)
        if chance.random() < 0.5:
            node.storage.begin()
            cluster.advance(chance.choice((0, 1, 3, 20, 400)))
        if chance.random() < 0.4:
            cluster.crash("node1")
            cluster.boot("node1").advance(500)
            history.check(cluster)
            assert next(iter(cluster.nodes.values())).machine.applied >= acknowledged


@pytest.mark.parametrize("seed", range(16))
def test_three_nodes_with_snapshots_cuts_and_crashes(make_cluster: Maker, seed: int) -> None:
    chance = random.Random(100 + seed)
    cluster = make_cluster(3, snapshot=TAIL).boot()
    cluster.elect()
    history = History()
    down: set[str] = set()
    for _ in range(60):
        leaders = [node for node in cluster.nodes.values() if node.core.role is Role.LEADER]
        if leaders:
            talk(max(leaders, key=lambda node: node.core.term).client(), chance)
        cluster.advance(chance.choice((0, 1, 30, 250, 700)))
        history.check(cluster)
        for node in cluster.nodes.values():
            if chance.random() < 0.3:
                node.storage.begin()
        what = chance.random()
        if what < 0.15 and not down:
            name = chance.choice(sorted(cluster.nodes))
            cluster.crash(name)
            down.add(name)
        elif what < 0.3 and down:
            cluster.boot(down.pop())
        elif what < 0.4:
            cluster.isolate(chance.choice(cluster.names))
        elif what < 0.6:
            cluster.heal(lose=chance.random() < 0.5)
    cluster.heal(lose=True)
    for name in down:
        cluster.boot(name)
    leader = cluster.elect()
    assert leader.client().ask("SET final 1")[-1] == b"OK"
    cluster.advance(8_000)
    assert {node.machine.applied for node in cluster.nodes.values()} == {cluster.leader().machine.applied}
    history.check(cluster)


def test_a_follower_far_behind_is_sent_a_snapshot_and_goes_on(make_cluster: Maker) -> None:
    cluster = make_cluster(3, snapshot=TAIL).boot()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    cluster.isolate(follower.id)
    client = leader.client()
    for n in range(50):
        client.ask(f"SET key{n} {n}", "INCR n")
    leader.storage.begin()
    cluster.advance(2_000)
    assert leader.journal.first_index > follower.core.last_index + 1, "the log alone will not do"
    cluster.heal(lose=True)
    cluster.advance(5_000)
    assert follower.machine.applied == leader.machine.applied
    assert images.digest_of_keyspace(follower.keyspace) == images.digest_of_keyspace(leader.keyspace)
    assert follower.journal.first_index > 50
    _restarts_alike(cluster, follower)


def _restarts_alike(cluster: Cluster, node: VirtualNode) -> None:
    digest, index = images.digest_of_keyspace(node.keyspace), node.machine.applied
    cluster.crash(node.id)
    cluster.boot(node.id)
    again = cluster.nodes[node.id]
    cluster.advance(1_000)
    assert again.machine.applied == index
    assert images.digest_of_keyspace(again.keyspace) == digest


def test_between_making_a_snapshot_current_and_emptying_the_journal(make_cluster: Maker) -> None:
    """Installed, and the process dies before its journal was told (T6)."""
    cluster = make_cluster(3, snapshot=TAIL).boot()
    leader = cluster.elect()
    follower = cluster.followers()[0]
    cluster.isolate(follower.id)
    client = leader.client()
    for n in range(30):
        client.ask(f"SET key{n} {n}")
    leader.storage.begin()
    cluster.advance(2_000)
    follower.install = lambda manifest, keyspace: _die()  # type: ignore[method-assign]
    cluster.heal(lose=True)
    with pytest.raises(Died):
        cluster.advance(5_000)
    cluster.crash(follower.id)
    cluster.boot(follower.id)
    again = cluster.nodes[follower.id]
    assert again.machine.applied >= 30
    cluster.advance(2_000)
    assert images.digest_of_keyspace(again.keyspace) == images.digest_of_keyspace(leader.keyspace)


def test_a_journal_that_goes_beyond_the_installed_snapshot_in_another_term(make_cluster: Maker) -> None:
    """A leader cut off has written more than was then committed without it; it dies in installing that."""
    cluster = make_cluster(3, snapshot=TAIL).boot()
    old = cluster.elect()
    cluster.isolate(old.id)
    client = old.client()
    for n in range(60):
        client.send(f"SET lost{n} {n}")
        cluster.settle()
    written = old.journal.last_index
    cluster.advance(3_000)
    leader = cluster.leader()
    client = leader.client()
    for n in range(30):
        client.ask(f"SET key{n} {n}")
    leader.storage.begin()
    cluster.advance(2_000)
    old.install = lambda manifest, keyspace: _die()  # type: ignore[method-assign]
    cluster.heal(lose=True)
    with pytest.raises(Died):
        cluster.advance(5_000)
    cluster.crash(old.id)
    cluster.boot(old.id)
    again = cluster.nodes[old.id]
    assert 30 <= again.journal.last_index < written
    cluster.advance(2_000)
    assert images.digest_of_keyspace(again.keyspace) == images.digest_of_keyspace(leader.keyspace)


def test_who_lost_only_the_journal_has_forgotten_what_it_acknowledged(make_cluster: Maker) -> None:
    """The snapshot that is left does not make its vote one to count on."""
    cluster = make_cluster(3, snapshot=TAIL).boot()
    leader = cluster.elect()
    forgetful, absent = cluster.followers()
    assert leader.client().ask("SET before 1") == [b"OK"]
    cluster.advance(500)
    forgetful.storage.begin()
    cluster.advance(2_000)
    cluster.isolate(absent.id)
    assert leader.client().ask("SET acknowledged 1") == [b"OK"]
    cluster.advance(500)
    lose_journal(cluster, forgetful)
    cluster.isolate(leader.id)
    cluster.cut -= {(forgetful.id, absent.id), (absent.id, forgetful.id)}
    for _ in range(2):
        again = cluster.boot(forgetful.id).nodes[forgetful.id]
        cluster.advance(20_000)
        assert [node.id for node in cluster.nodes.values() if node.core.term > leader.core.term] == []
        assert again.core.fresh
        cluster.crash(forgetful.id)
    cluster.boot(forgetful.id)
    cluster.heal(lose=True)
    assert cluster.elect().client().ask("GET acknowledged") == [b"1"]


def lose_journal(cluster: Cluster, node: VirtualNode) -> None:
    assert node.storage.snapshots.newest is not None
    cluster.crash(node.id)
    shutil.rmtree(cluster.path / node.id / "journal")


def test_what_only_the_lost_journal_had_is_not_given_up_silently(make_cluster: Maker) -> None:
    cluster = make_cluster(1).boot()
    cluster.advance(100)
    node = cluster.nodes["node1"]
    node.client().ask("SET key 1")
    node.storage.begin()
    cluster.advance(2_000)
    newest = node.storage.snapshots.newest
    assert newest is not None
    lose_journal(cluster, node)
    for _ in range(2):
        with pytest.raises(Fault, match=f"journal is gone.*--recover-snapshot {newest.index}"):
            cluster.boot("node1")
    cluster.snapshot["recover"] = newest.index
    cluster.boot("node1").advance(1_000)
    assert cluster.nodes["node1"].client().ask("GET key") == [b"1"]


@pytest.mark.parametrize("size", [1, 3])
def test_a_journal_put_back_from_yesterday(make_cluster: Maker, size: int) -> None:
    cluster = make_cluster(size, snapshot=TAIL).boot()
    leader = cluster.elect() if size > 1 else cluster.advance(100).nodes["node1"]
    client = leader.client()
    client.ask("SET key old")
    cluster.crash(leader.id)
    journal, yesterday = cluster.path / leader.id / "journal", cluster.path / "yesterday"
    shutil.copytree(journal, yesterday)
    cluster.boot(leader.id).advance(3_000)
    cluster.leader().client().ask("SET key acknowledged")
    cluster.advance(500)
    again = cluster.nodes[leader.id]
    again.storage.begin()
    cluster.advance(2_000)
    newest = again.storage.snapshots.newest
    assert newest is not None
    cluster.leader().client().ask("SET key acknowledged")
    cluster.advance(500)
    cluster.crash(leader.id)
    shutil.rmtree(journal)
    shutil.copytree(yesterday, journal)
    for _ in range(2):
        with pytest.raises(Fault, match=f"older copy.*--recover-snapshot {newest.index}"):
            cluster.boot(leader.id)
    with StoppedNode(cluster.path / leader.id) as node, pytest.raises(Fault, match="older copy"):
        compact(node, lambda doing, done: None)
    assert verify.main([str(cluster.path / leader.id)]) == 1
    cluster.snapshot["recover"] = newest.index
    again = cluster.boot(leader.id).nodes[leader.id]
    assert again.storage.fresh == (size > 1), "its word counts only once it has heard the others"


class Died(BaseException):
    pass


def _die() -> bool:
    raise Died


def test_a_journal_that_begins_behind_the_snapshot_stops_the_node(make_cluster: Maker) -> None:
    cluster = make_cluster(1, snapshot=TAIL).boot()
    cluster.advance(100)
    node = cluster.nodes["node1"]
    client = node.client()
    for n in range(50):
        client.ask(f"SET key{n} {n}")
    node.storage.begin()
    cluster.advance(2_000)
    while node.journal.trimming:
        node.journal.trim()
    assert node.journal.first_index > 20
    node.storage.snapshots.forget_above(0)
    cluster.crash("node1")
    with pytest.raises(Fault, match="what lies between is missing"):
        cluster.boot("node1")


def damage(node: VirtualNode, index: int) -> None:
    """Flip a bit in an image of the snapshot at `index`."""
    env, table = node.storage.snapshots._env, node.storage.snapshots._images
    with env.begin(write=True, db=table) as txn:
        for key, value in txn.cursor():
            if int.from_bytes(key[3:11], "big") == index and key[0] == 0:
                txn.put(key, value[:-1] + bytes([value[-1] ^ 1]))
                return
    raise AssertionError("no image to damage")


def test_a_damaged_image_stops_the_node_and_says_what_to_do(make_cluster: Maker) -> None:
    cluster = make_cluster(1, snapshot={"keep": 2}).boot()
    cluster.advance(100)
    node = cluster.nodes["node1"]
    client = node.client()
    indexes = []
    for turn in range(2):
        client.ask(*(f"SET key{n} {turn}" for n in range(50)))
        node.storage.begin()
        cluster.advance(2_000)
        newest = node.storage.snapshots.newest
        assert newest is not None
        indexes.append(newest.index)
    client.ask("SET after both")
    digest, applied = images.digest_of_keyspace(node.keyspace), node.machine.applied
    damage(node, indexes[1])
    cluster.crash("node1")
    with pytest.raises(Fault, match=rf"group \d+, of snapshot {indexes[1]} is damaged.*start it empty"):
        cluster.boot("node1")
    # With the operator's word: the one before, and the journal behind it.
    cluster.snapshot["recover"] = indexes[0]
    cluster.boot("node1").advance(1_000)
    again = cluster.nodes["node1"]
    assert images.digest_of_keyspace(again.keyspace) == digest
    assert again.machine.applied >= applied


def test_a_node_told_to_stop_while_it_loads_does_so(
    make_cluster: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds only part of its state then, and must neither judge nor note anything by that."""
    cluster = make_cluster(1, snapshot=TAIL).boot()
    cluster.advance(100)
    node = cluster.nodes["node1"]
    for n in range(50):
        node.client().ask(f"SET key{n} {n}")
    node.storage.begin()
    cluster.advance(2_000)
    settings, applied = node.settings, node.machine.applied
    cluster.crash("node1")
    settings.server.bind, settings.server.port = "127.0.0.1", free_ports(1)[0]
    monkeypatch.undo()  # the real clocks
    monkeypatch.setattr("ironkv.node.node.RECOVERY_SLICE_S", -1.0)  # looks up after the first step
    node = Node(settings)
    commit = node.journal.commit

    async def told_at_once() -> None:
        asyncio.get_running_loop().call_soon(node.stop)
        await node.run()

    asyncio.run(told_at_once())
    assert node.loading
    assert node.machine.applied < commit
    cluster.boot("node1")
    again = cluster.nodes["node1"]
    assert (again.journal.commit, again.machine.applied) == (commit, applied)


def test_save_is_never_ok_without_a_snapshot(make_cluster: Maker) -> None:
    """Neither while the leader's snapshot is being received, nor when that ends the one under way."""
    cluster = make_cluster(3, snapshot=TAIL).boot()
    leader = cluster.elect()
    writer = leader.client()
    writer.ask("SET key x")
    cluster.advance(100)
    follower = cluster.followers()[0]
    cluster.isolate(follower.id)
    for n in range(50):
        writer.ask(f"SET key{n} {n}")
    leader.storage.begin()
    cluster.advance(2_000)
    client, other = follower.client(), follower.client()
    cluster.heal(lose=True)
    while follower.core.leader != leader.id:
        cluster.advance(1)
    assert not follower.storage._receiving.active
    manifest = leader.storage.snapshots.newest
    assert manifest is not None
    client.send("SAVE")
    follower._on_parcel(leader.id, [OFFER, manifest.index, manifest.packed()])
    assert other.send("SAVE").take() == [f"-{RECEIVING}"]
    cluster.advance(5_000)
    assert client.take() == [f"-{RECEIVING}"]
    assert follower.machine.applied == leader.machine.applied
    assert other.ask("SAVE") == [b"OK"]


def test_a_stop_in_good_order_vouches_only_for_what_is_on_the_disk(make_cluster: Maker) -> None:
    """What is committed has not reached this disk, where something else stands in its place: never committed,
    and it must not be taken for that at the next start."""
    cluster = make_cluster().boot()
    cluster.elect("node1")
    one, two = cluster.nodes["node1"], cluster.nodes["node2"]
    cluster.automatic_disk = False
    cluster.cut |= {("node1", "node3"), ("node2", "node1")}
    one.client().send("SET a never")
    cluster.settle()
    assert two.finish()
    cluster.crash("node1")
    cluster.automatic_disk = True
    cluster.heal(lose=True)
    cluster.isolate("node2")
    cluster.boot("node1")
    while not any(node.driver.leading for node in cluster.nodes.values()):
        cluster.advance(100)
    leader = cluster.leader()
    assert leader.client().ask("SET b 1") == [b"OK"]
    cluster.automatic_disk = False  # node2 hears of it all, and no entry of that gets onto its disk
    cluster.heal(lose=True)
    end = cluster.now + 2_000
    while two.machine.applied < leader.machine.applied and cluster.now < end:
        cluster.advance(5)
        for node in cluster.nodes.values():
            if node is not two or (node.writing is not None and not node.writing.entries):
                node.finish()
    assert two.machine.applied == leader.machine.applied > two.core.durable_index
    two.storage.note_commit()
    cluster.crash("node2")
    cluster.automatic_disk = True
    again = cluster.boot("node2").nodes["node2"]
    assert again.keyspace.database(0).find(b"a") is None
    cluster.advance(3_000)
    cluster.leader()
    assert not again.faults
    assert images.digest_of_keyspace(again.keyspace) == images.digest_of_keyspace(leader.keyspace)
