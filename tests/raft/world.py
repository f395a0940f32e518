"""A few cores and a network, moved by hand: what the scenario files are written in.

Nothing happens by itself. Messages lie in the network until they are delivered, time stands still
until `wait`, and a disk that is held keeps its write under way until it is released. Nodes are named
by their numbers. The election timeout is 100 ms, the heartbeat 20 ms. Chance is taken out: node 1 always
waits 106.25 ms, node 2 118.75, node 3 131.25 …, so that it is node 1 that stands first.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import fields

from ironkv.errors import Fault, NotAvailable
from ironkv.raft import messages as raft_messages
from ironkv.raft.config import HardState, RaftConfig
from ironkv.raft.configuration import Configuration
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Append, Entry, EntryKind, Mark, Message, Role
from tests.sim import describe
from tests.sim.disk import Disk

TIMEOUT_MS = 100.0
HEARTBEAT_MS = 20.0


class Fixed(random.Random):
    """A generator that always draws the same place between the ends."""

    place = 0.5

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.place

    def getrandbits(self, k: int) -> int:
        return 0


class Node:
    """One core with its disk, up or down."""

    def __init__(self, name: str, config: RaftConfig) -> None:
        self.name = name
        self.config = config
        self.disk = Disk()
        self.disk_held = False
        self.paused: list[Message] | None = None
        self.random = Fixed()
        self.random.place = int(name[1:]) / 8 - 1 / 16
        self.core: RaftCore | None = None
        self.applied: list[Entry] = []
        self.snapshot = (0, 0)
        """(index, term) of the state on disk; what lies below is not applied again."""
        self.members = Configuration(config.voters)
        """As of the snapshot."""
        self.wiped = False

    def start(self, now: float) -> None:
        self.applied = []
        index, term = self.snapshot
        if index > self.disk.last_index or (index and self.disk.term(index) != term):
            self.disk.reset(index, term)
        self.core = RaftCore(
            self.config,
            self.disk.hard,
            self.disk,
            self.random,
            now,
            index,
            self.disk.members((index, self.members)),
        )

    def wipe(self) -> None:
        self.disk = Disk()
        self.disk.hard = HardState(fresh=True)
        self.snapshot, self.wiped = (0, 0), True
        self.members = Configuration(self.config.voters)


class World:
    def __init__(self) -> None:
        self.now = 0.0
        self.nodes: dict[str, Node] = {}
        self.network: list[Message] = []
        self.cuts: set[tuple[str, str]] = set()
        self.held: set[tuple[str, str]] = set()
        self.trace: list[str] = []
        self.options: dict[str, object] = {}

    def run(self, line: str) -> list[str]:
        """One command; what it leaves in the trace."""
        self.trace = []
        words = line.split("#")[0].split()
        if words:
            quietly = words[0] == "quietly"
            name, *args = words[quietly:]
            try:
                getattr(self, f"do_{name}")(*args)
            except NotAvailable as error:
                self.tell(f"refused: {error}")
            except Fault as error:
                self.tell(f"fault: {error}")
            if quietly:
                self.trace = []
        return self.trace

    def tell(self, line: str) -> None:
        self.trace.append(line)

    def node(self, number: str) -> Node:
        return self.nodes[f"n{number}"]

    def core(self, number: str) -> RaftCore:
        core = self.node(number).core
        assert core is not None, f"n{number} is down"
        return core

    def running(self) -> Iterable[tuple[Node, RaftCore]]:
        return [
            (node, node.core) for node in self.nodes.values() if node.core is not None and node.paused is None
        ]

    # -- setting the scene ----------------------------------------------------------------------

    def do_config(self, *options: str) -> None:
        """config append_bytes=100 …: for all nodes; comes before `cluster`."""
        for option in options:
            name, value = option.split("=")
            self.options[name] = int(value)

    def do_cluster(self, size: str, *options: str) -> None:
        """cluster 3 [leader=1] [fresh] [down]: nodes that have never run; the leader is elected and settled.

        Unless it is said that they are fresh, each is certain that it has promised nothing.
        """
        names = [f"n{number + 1}" for number in range(int(size))]
        for name in names:
            config = RaftConfig(name, frozenset(names), HEARTBEAT_MS, TIMEOUT_MS, **self.options)  # type: ignore[arg-type]
            self.nodes[name] = Node(name, config)
            self.nodes[name].disk.hard = HardState(fresh="fresh" in options)
        if "down" in options:
            return
        for node in self.nodes.values():
            node.start(self.now)
        for option in set(options) - {"fresh"}:
            self.do_elect(option.removeprefix("leader="))
            self.trace = []

    def do_journal(self, number: str, *words: str) -> None:
        """journal 1 terms=1,1,2 [term=3] [vote=2] [commit=1] [base=1]: what a node will find when it starts.

        With a base there is a snapshot, and the entries up to there are compacted away.
        """
        disk, given = self.node(number).disk, dict(word.split("=") for word in words)
        terms = [int(term) for term in given.get("terms", "").split(",") if term]
        base = int(given.get("base", 0))
        disk.log = [Entry(i + 1, term, EntryKind.BATCH, f"t{term}".encode()) for i, term in enumerate(terms)]
        disk.compact(base)
        self.node(number).snapshot = (base, disk.base_term)
        term = int(given.get("term", max(terms, default=0)))
        disk.hard = HardState(
            term, f"n{given['vote']}" if "vote" in given else None, int(given.get("commit", 0))
        )

    def do_start(self, *numbers: str) -> None:
        """start 1 2: begin from what is on disk."""
        for number in numbers or [name[1:] for name in self.nodes]:
            self.node(number).start(self.now)
            if self.node(number).wiped:
                self.node(number).wiped = False
                for other in self.nodes:
                    if self.nodes[other].core is not None and other != f"n{number}":
                        self.do_reborn(other[1:], number)

    def do_restart(self, number: str) -> None:
        self.do_start(number)

    def do_crash(self, number: str) -> None:
        """crash 1: what was not on disk is lost."""
        node = self.node(number)
        node.disk.crash()
        node.core = None
        node.disk_held = False

    def do_wipe(self, number: str) -> None:
        """wipe 1: it crashes, and its directory is lost. What is under way to it does not arrive."""
        self.do_crash(number)
        self.node(number).wipe()
        self.network = [m for m in self.network if m.to != f"n{number}"]

    def do_reborn(self, number: str, peer: str) -> None:
        """reborn 1 2: node 1 learns that node 2 began anew; `start 2` tells all. Its older words are void."""
        name, gone = f"n{number}", f"n{peer}"
        self.network = [m for m in self.network if (m.sender, m.to) != (gone, name)]
        self.core(number).peer_reborn(gone, self.now)

    def do_elect(self, number: str) -> None:
        """elect 1: wait until its timeout has run out, and settle."""
        self.do_wait(str(round(self.core(number).next_wakeup() - self.now + 0.5)))
        assert self.core(number).role is Role.LEADER, "somebody else was elected"

    # -- members ----------------------------------------------------------------------------------

    def do_join(self, number: str) -> None:
        """join 4: a node with an empty directory, that knows of no cluster."""
        config = RaftConfig(f"n{number}", frozenset(), HEARTBEAT_MS, TIMEOUT_MS, **self.options)  # type: ignore[arg-type]
        self.nodes[config.node_id] = node = Node(config.node_id, config)
        node.disk.hard = HardState(fresh=True)
        node.start(self.now)

    def do_add(self, number: str, *nodes: str) -> None:
        """add 1 4: node 1, which leads, makes node 4 a learner."""
        core = self.core(number)
        wanted = core.configuration
        for node in nodes:
            wanted = wanted.with_learner(f"n{node}")
        core.change(wanted, self.now)
        self._collect()

    def do_promote(self, number: str, *nodes: str) -> None:
        """promote 1 4 5: learners get their vote."""
        core = self.core(number)
        wanted = core.configuration
        for node in nodes:
            wanted = wanted.promoted(f"n{node}")
        core.change(wanted, self.now)
        self._collect()

    def do_remove(self, number: str, *nodes: str) -> None:
        """remove 1 2: node 2 is to be a member no longer."""
        core = self.core(number)
        wanted = core.configuration
        for node in nodes:
            wanted = wanted.without(f"n{node}")
        core.change(wanted, self.now)
        self._collect()

    def do_members(self, *numbers: str) -> None:
        """members [1 …]: who belongs to the cluster, as each sees it."""
        for number in numbers or [name[1:] for name, node in self.nodes.items() if node.core is not None]:
            self.tell(f"n{number} {describe.members(self.core(number).configuration)}")

    # -- the network ------------------------------------------------------------------------------

    def _pairs(self, words: tuple[str, ...]) -> list[tuple[str, str]]:
        """`1 | 2 3` both ways, `1 > 2 3` one way."""
        sign = "|" if "|" in words else ">"
        left = [f"n{number}" for number in words[: words.index(sign)]]
        right = [f"n{number}" for number in words[words.index(sign) + 1 :]]
        pairs = [(a, b) for a in left for b in right]
        return pairs + [(b, a) for a, b in pairs] if sign == "|" else pairs

    def do_cut(self, *words: str) -> None:
        """cut 1 | 2 3: nothing gets through, either way; `1 > 2`: nothing from 1 to 2."""
        self.cuts.update(self._pairs(words))

    def do_heal(self) -> None:
        self.cuts.clear()

    def do_hold(self, *words: str) -> None:
        """hold 1 > 2: messages wait in the network until `release`."""
        self.held.update(self._pairs(words))

    def do_release(self) -> None:
        self.held.clear()
        self.do_settle()

    def do_lost(self, number: str, peer: str) -> None:
        """lost 2 1: node 2 sees its connection to node 1 break."""
        self.core(number).peer_lost(f"n{peer}", self.now)

    def do_back(self, number: str, peer: str) -> None:
        self.core(number).peer_back(f"n{peer}", self.now)

    def do_inject(self, kind: str, *words: str) -> None:
        """inject Append sender=n2 to=n1 term=1 …: a message nobody sent; what is not given is 0."""
        given = dict(word.split("=") for word in words)
        values: dict[str, object] = {}
        shape = getattr(raft_messages, kind)
        for field in fields(shape):
            word = given.get(field.name, "0")
            if field.name == "entries":
                names = [name.split(".") for name in word.split(",") if name != "0"]
                values["entries"] = tuple(Entry(int(i), int(t), EntryKind.BATCH, b"new") for i, t in names)
            elif field.name in ("sender", "to"):
                values[field.name] = word
            else:
                values[field.name] = int(word) if word != "none" else None
        self.network.append(shape(**values))
        self.do_settle()

    def _collect(self) -> bool:
        """Do what the cores ask for. True if there was anything."""
        busy = False
        for node, core in self.running():
            while (ready := core.ready(self.now)) is not None:
                busy = True
                self.network.extend(ready.messages)
                if ready.persist is not None:
                    node.disk.begin(ready.persist)
                    if not node.disk_held:
                        self._finish_write(node)
                for entry in ready.committed:
                    node.applied.append(entry)
                    self.tell(f"{node.name} applies {describe.entry(entry)}")
                for grant in ready.reads:
                    self.tell(
                        f"{node.name} read {grant.read_id} "
                        + ("refused" if grant.index is None else f"granted at {grant.index}")
                    )
        return busy

    def _finish_write(self, node: Node) -> None:
        persist = node.disk.finish()
        vote = f" vote={persist.voted_for}" if persist.voted_for else ""
        if persist.fresh:
            vote += " fresh"
        if persist.reset is not None:
            vote += " reset={}.{}".format(*persist.reset)
        written = f" {describe.entries(persist.entries)}" if persist.entries else ""
        self.tell(f"{node.name} disk term={persist.term}{vote}{written}")
        if node.core is not None:
            node.core.persisted(persist.mark, self.now)

    def _deliver(self, message: Message) -> None:
        line = f"{message.sender} → {message.to} {describe.message(message)}"
        node = self.nodes.get(message.to)
        if (message.sender, message.to) in self.cuts or node is None or node.core is None:
            self.tell(f"{line}   (lost)")
        elif node.paused is not None:
            node.paused.append(message)
        else:
            self.tell(line)
            node.core.step(message, self.now)

    def do_settle(self, most: str = "1000") -> None:
        """settle [n]: deliver, in the order of sending, until nothing is left to do; at most n messages."""
        left = int(most)
        while True:
            busy = self._collect()
            message = next((m for m in self.network if (m.sender, m.to) not in self.held), None)
            if message is None and busy:
                continue
            if message is None or left == 0:
                return
            left -= 1
            self.network.remove(message)
            self._deliver(message)

    def do_deliver(self, number: str, peer: str, most: str = "1") -> None:
        """deliver 1 2 [n]: the oldest messages from 1 to 2, held or not."""
        found = [m for m in self.network if (m.sender, m.to) == (f"n{number}", f"n{peer}")]
        for message in found[: int(most)]:
            self.network.remove(message)
            self._deliver(message)
            self._collect()

    def do_repeat(self, number: str, peer: str) -> None:
        """repeat 1 2: the messages under way from 1 to 2 arrive twice."""
        self.network += [m for m in self.network if (m.sender, m.to) == (f"n{number}", f"n{peer}")]

    # -- the disk ---------------------------------------------------------------------------------

    def do_disk(self, number: str, what: str) -> None:
        """disk 1 hold: writes stay under way; disk 1 sync: the one under way is done; disk 1 release."""
        node = self.node(number)
        node.disk_held = what != "release"
        if what != "hold" and node.disk.writing is not None:
            self._finish_write(node)
            self._collect()

    def do_report(self, number: str, *words: str) -> None:
        """report 1 serial=3 term=1 last_index=2: a report of a write that may never have been."""
        given = {name: int(value) for name, value in (word.split("=") for word in words)}
        self.core(number).persisted(Mark(**given), self.now)
        self._collect()

    # -- snapshots --------------------------------------------------------------------------------

    def do_compact(self, number: str, index: str) -> None:
        """compact 1 5: a snapshot of the state at 5 is on its disk, and the entries up to there go."""
        node = self.node(number)
        node.snapshot = (int(index), node.disk.term(int(index)))
        for at, members in node.disk.members((0, node.members)):
            if at <= int(index):
                node.members = members
        node.disk.compact(int(index))

    def do_install(self, number: str, snapshot: str, of: str = "") -> None:
        """install 2 5.1 [1]: a snapshot that ends with entry 5 of term 1 is on disk; node 1 took it."""
        node = self.node(number)
        index, term = (int(part) for part in snapshot.split("."))
        members = self.node(of).members if of else None
        installed = self.core(number).install(index, term, self.now, members)
        if installed:
            node.members = members or node.members
            node.snapshot = (index, term)
        self.tell(f"n{number} {'goes on from' if installed else 'has no need of'} snapshot {snapshot}")

    def do_stranded(self, number: str) -> None:
        """stranded 1: whom only a snapshot can help; and what compaction is to spare."""
        core = self.core(number)
        self.tell(
            f"n{number} stranded: {' '.join(core.stranded()) or 'nobody'}; lowest={core.lowest_match()}"
        )

    # -- time -------------------------------------------------------------------------------------

    def do_wait(self, ms: str) -> None:
        """wait 50: time passes; whatever falls due is done, and messages take no time."""
        until = self.now + float(ms)
        self.do_settle()
        for _ in range(10_000):
            due = min((core.next_wakeup() for _, core in self.running()), default=until)
            if due > until:
                self.now = until
                return
            self.now = max(self.now, due)
            for _, core in self.running():
                core.tick(self.now)
            self.do_settle()
        raise AssertionError("time does not pass: a node is due again and again")

    def do_sleep(self, ms: str) -> None:
        """sleep 50: time passes, and nobody notices yet."""
        self.now += float(ms)

    def do_tick(self, number: str) -> None:
        self.core(number).tick(self.now)
        self._collect()

    def do_pause(self, number: str) -> None:
        """pause 1: the process is stopped; what it is sent waits."""
        self.node(number).paused = []

    def do_resume(self, number: str) -> None:
        node = self.node(number)
        assert node.paused is not None
        waiting, node.paused = node.paused, None
        self.network = waiting + self.network

    # -- clients ----------------------------------------------------------------------------------

    def do_propose(self, number: str, *values: str) -> None:
        """propose 1 a b: two entries."""
        for value in values:
            entry = self.core(number).propose(value.encode(), self.now)
            self.tell(f"n{number} proposes {describe.entry(entry)}")

    def do_fill(self, number: str, count: str, size: str) -> None:
        """fill 1 100 1000: so many entries of so many bytes."""
        for _ in range(int(count)):
            self.core(number).propose(b"x" * int(size), self.now)

    def do_write(self, number: str, *values: str) -> None:
        """write 1 a b: propose, settle, and let commit notices go out."""
        self.do_propose(number, *values)
        self.do_wait("5")

    def do_read(self, number: str, read_id: str) -> None:
        self.core(number).read(int(read_id), self.now)
        self._collect()

    def do_lease(self, number: str) -> None:
        """lease 1: does it hold?"""
        self.tell(
            f"n{number} lease {'holds' if self.core(number).lease_holds(self.now) else 'does not hold'}"
        )

    def do_transfer(self, number: str, *target: str) -> None:
        self.core(number).transfer(f"n{target[0]}" if target else None, self.now)
        self._collect()

    # -- looking ----------------------------------------------------------------------------------

    def do_status(self, *numbers: str) -> None:
        """status [1 …]: one line each."""
        for number in numbers or [name[1:] for name in self.nodes]:
            node = self.node(number)
            core = node.core
            if core is None:
                self.tell(f"{node.name} down")
                continue
            role = core.role.name.lower() + (
                f"({core.leader})" if core.role is Role.FOLLOWER and core.leader else ""
            )
            self.tell(
                f"{node.name} {role:12} term={core.term} last={core.last_index} durable={core.durable_index} "
                f"commit={core.commit} applied={len(node.applied)}{' fresh' if core.fresh else ''}"
            )

    def do_log(self, *numbers: str) -> None:
        """log [1 …]: what is in each log, by index.term; from the disk when the node is down."""
        for number in numbers or [name[1:] for name in self.nodes]:
            node = self.node(number)
            held: Iterable[Entry] = node.disk.log
            if node.core is not None:
                log = node.core._log
                first = log.first_index
                held = log.slice(first, log.last_index, 1 << 30) if log.last_index >= first else ()
                if held and held[-1].index < log.last_index:
                    held = [*held, *log.slice(held[-1].index + 1, log.last_index, 1 << 30)]
            self.tell(f"{node.name} {describe.entries(tuple(held))}")

    def do_flow(self, number: str) -> None:
        """flow 1: how the leader sees its followers."""
        stranded = self.core(number).stranded()
        for peer, progress in self.core(number).followers.items():
            self.tell(
                f"{peer} {progress.flow.name.lower()} match={progress.match} next={progress.next} "
                f"flight={progress.flight_messages}/{progress.flight_bytes}"
                f"{' lost' if progress.lost else ''}{' stranded' if peer in stranded else ''}"
            )

    def do_network(self) -> None:
        """network: what is under way."""
        for message in self.network:
            self.tell(f"{message.sender} → {message.to} {describe.message(message)}")

    def do_count(self, number: str, peer: str) -> None:
        """count 1 2: messages under way, and the entries in them."""
        found = [m for m in self.network if (m.sender, m.to) == (f"n{number}", f"n{peer}")]
        entries = sum(len(m.entries) for m in found if isinstance(m, Append))
        self.tell(f"n{number} → n{peer}: {len(found)} messages, {entries} entries")
