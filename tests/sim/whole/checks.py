"""What must hold at every moment.

The checks look at what leaves a node, at what is on its disk and at what clients are told, never at what a
node thinks of itself, so that one that is wrong about itself is found out.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, Any
from zlib import crc32

from ironkv.errors import CommandError, Fault, NotAvailable
from ironkv.images import extras, parts
from ironkv.keyspace.keyspace import Keyspace
from ironkv.raft.configuration import Configuration
from ironkv.raft.messages import AppendReply, Entry, EntryKind, Message, Persist, Vote, VoteReply
from ironkv.raft.quorum import majority
from ironkv.storage import codec
from tests.sim.checks import must
from tests.sim.describe import members as shown
from tests.sim.whole import membership
from tests.sim.whole.history import History
from tests.sim.whole.lmdb import Disk

if TYPE_CHECKING:
    from tests.sim.whole.cluster import Cluster
    from tests.sim.whole.computer import Computer, Process

Fact = tuple[int, int, int]
"""kind, term and checksum of an entry's data"""


class Checks:
    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.log: list[Fact] = []
        """The committed log, as first applied by anybody."""
        self.committed_in: list[int] = []
        """For each of its entries the term of whoever applied it first: that of its commit, or later."""
        self.replies: dict[int, int] = {}
        """A checksum over what the commands of an entry replied, wherever it was applied first."""
        self.states: dict[int, bytes] = {}
        """The digest of the state at an index, from the snapshots."""
        self.configurations = [(0, Configuration(frozenset(cluster.founders)))]
        """Those that were committed, each with its index; 0: what the cluster began with."""
        self.newer: set[tuple[int, Configuration]] = set()
        """Those behind the newest of them that have ruled on some node, whatever became of them."""
        self.leaders: dict[int, tuple[str, int]] = {}
        self.votes: dict[tuple[str, int], str] = {}
        """Who has whose vote; those of fresh nodes are only theirs as long as their disk lives."""
        self.history = History()
        storm = cluster.storm
        if storm.drift or storm.clocks_off or "clock jump" in storm.troubles:
            self.history.early_by = self.history.late_by = inf
        else:
            self.history.early_by = self.history.late_by = 200 + 4 * storm.delay + storm.late_by
        self.history.led_since = cluster.calm_from + 1000
        self.epochs: dict[bytes, int] = {}
        self.answered = 0
        self.outside: dict[str, float] = {}
        """Who knows that it is no member, and since when."""

    # -- a process begins, and ends

    def watch(self, computer: Computer, process: Process) -> None:
        """Look over a process's shoulder: at what it applies, and what comes of it."""
        run, apply, finish = process.machine.run, process.proposals.apply, process.storage.snapshots.finish

        def watched_run(index: int, stamp_ms: int, items: Iterable[Any], ride: Any) -> list[Any]:
            program = list(items)
            replies = run(index, stamp_ms, program, ride)
            said = [
                reply
                for item, reply in zip(
                    (each for each in program if type(each) is not int), replies, strict=True
                )
                if type(item) is list and item[0] != b"EXEC"
            ]
            self._came_of(computer, index, stamp_ms, said)
            return replies

        def watched_apply(entry: Entry, not_done: NotAvailable) -> None:
            self._applies(computer, entry)
            apply(entry, not_done)

        def watched_finish(manifest: Any, *, received: bool = False) -> None:
            self._stands(manifest.index, manifest.digest, computer.name)
            self.cluster.snapshots += 1
            finish(manifest, received=received)

        process.machine.run = watched_run  # type: ignore[method-assign]
        process.proposals.apply = watched_apply  # type: ignore[method-assign]
        process.storage.snapshots.finish = watched_finish  # type: ignore[method-assign]

    def started(self, computer: Computer) -> None:
        """Nothing that was committed and is on the disk may be missing or different."""
        assert computer.process is not None
        applied = computer.process.machine.applied
        must(applied <= len(self.log), f"{computer.name} recovers {applied}, which nobody has committed")
        self._rules_again(computer)
        self.members(computer)

    def refused(self, computer: Computer, reason: str) -> None:
        """It does not start: right if its disk is damaged, and only then."""
        must(computer.disk.damaged > 0, f"{computer.name} does not start: {reason}")

    def stopped(self, computer: Computer, fault: Fault) -> None:
        """It stopped itself: right if its disk has failed, and only then."""
        self.cluster.tell(f"{computer.name} stops itself: {fault}")
        must(computer.disk.failed > 0 or computer.disk.damaged > 0, f"{computer.name} stops itself: {fault}")

    # -- promises: each must be true the moment it leaves

    def writes(self, computer: Computer, persist: Persist) -> None:
        """What goes to the journal must not replace anything committed (J4)."""
        if persist.entries and persist.reset is None:
            first = persist.entries[0].index
            for entry in persist.entries[: max(0, len(self.log) - first + 1)]:
                held = codec_fact(computer.disk, entry.index)
                if held is not None and held == self.log[entry.index - 1]:
                    must(fact(entry) == held, f"{computer.name} replaces committed entry {entry.index}")

    def leaving(self, computer: Computer, message: Message) -> None:
        match message:
            case VoteReply(granted=True):
                self._vote(computer, message.term, message.to)
            case Vote():
                self._vote(computer, message.term, computer.name)
            case AppendReply() if message.match is not None:
                hard, keys = computer.promised(), computer.entries.keys
                base = base_of(computer.disk)
                last = codec.index_of(keys[-1]) if keys else base.index
                must(message.fresh or not hard.fresh, f"{computer.name} forgets that it is fresh")
                must(hard.term >= message.term, f"{computer.name} acks in a term it has not on disk")
                must(last >= message.match, f"{computer.name} acks {message.match} before it is durable")

    def _vote(self, computer: Computer, term: int, candidate: str) -> None:
        hard = computer.promised()
        must(
            (hard.term, hard.voted_for) == (term, candidate),
            f"{computer.name} votes in {term} before it is durable",
        )
        voter = f"{computer.name} of birth {computer.birth}" if hard.fresh else computer.name
        first = self.votes.setdefault((voter, term), candidate)
        must(first == candidate, f"{computer.name} votes for {first} and {candidate} in term {term}")

    # -- leaders

    def elected(self, computer: Computer) -> None:
        core = computer.core
        assert core is not None
        term, who = core.term, (computer.name, computer.life)
        first = self.leaders.setdefault(term, who)
        must(first == who, f"two leaders in term {term}: {first}, {who}")
        log = core._log
        for index in range(max(1, len(self.log) - 30), len(self.log) + 1):  # leader completeness (§5.4.3)
            # A vote may be won late, when others have long led and committed in higher terms.
            if log.first_index <= index and self.committed_in[index - 1] < term:
                held = log.slice(index, index, 1)[0] if index <= log.last_index else None
                must(
                    held is not None and fact(held) == self.log[index - 1],
                    f"{computer.name} leads term {term} without committed entry {index}",
                )
        for other in self.cluster.computers.values():
            if other is not computer and other.core is not None and other.core.term < term:
                holds = other.core.lease_holds(other.steady_ms())
                must(not holds, f"{computer.name} is elected while the lease of {other.name} holds")

    # -- the committed log

    def _applies(self, computer: Computer, entry: Entry) -> None:
        assert computer.process is not None
        index, now = entry.index, fact(entry)
        machine = computer.process.machine
        must(index == machine.applied + 1, f"{computer.name} is given {index} after {machine.applied}")
        if index <= len(self.log):
            must(self.log[index - 1] == now, f"{computer.name} applies another entry {index}")
            return
        must(index == len(self.log) + 1, f"{computer.name} applies {index}, nobody has {len(self.log) + 1}")
        self.log.append(now)
        self.committed_in.append(computer.process.driver.core.term)
        if entry.kind is EntryKind.CONFIG:
            self._reconfigured(index, Configuration.decode(entry.data))
        holders = {name for name, each in self.cluster.computers.items() if has_held(each, index, now)}
        must(
            any(agrees(each, holders) for each in self.ruling()),
            f"entry {index} of term {entry.term} is committed on the disks of {sorted(holders)}",
        )

    # -- members

    def ruling(self) -> list[Configuration]:
        """Those that may rule on a node which has all that is committed."""
        return [self.configurations[-1][1], *(each for _, each in self.newer)]

    def configuration_at(self, index: int) -> tuple[int, Configuration]:
        """What the committed log says of who belonged at an entry."""
        return next(each for each in reversed(self.configurations) if each[0] <= index)

    def _reconfigured(self, index: int, now: Configuration) -> None:
        before = self.configurations[-1][1]
        must(membership.step(before, now), f"{shown(before)} is followed by {shown(now)}")
        self.configurations.append((index, now))
        self.newer = {each for each in self.newer if each[0] > index}

    def members(self, computer: Computer) -> None:
        """It has applied entries, or another configuration rules."""
        process = computer.process
        assert process is not None
        core, (index, said) = process.driver.core, process.machine.membership
        at, committed = self.configuration_at(process.machine.applied)
        must(
            index == at and (not at or said == committed),
            f"{computer.name} takes {shown(said)} of {index} for the members, not {shown(committed)} of {at}",
        )
        if core._members.index > self.configurations[-1][0]:
            self.newer.add((core._members.index, core.configuration))
        if computer.name in committed.everybody | core.configuration.everybody:
            self.outside.pop(computer.name, None)
        else:
            self.outside.setdefault(computer.name, self.cluster.world.now)

    def _rules_again(self, computer: Computer) -> None:
        """A node that starts goes by the newest configuration on its disk, committed or not (§6)."""
        assert computer.process is not None
        if computer.disk.damaged:
            return  # perhaps in what cannot be read here
        applied, table = computer.process.machine.applied, computer.entries
        at, newest = self.configuration_at(applied)
        for key in reversed(table.keys):
            if codec.index_of(key) <= applied:
                break
            entry = codec.decode_entry(codec.index_of(key), table.values[key])
            if entry.kind is EntryKind.CONFIG:
                at, newest = entry.index, Configuration.decode(entry.data)
                break
        rules = computer.process.driver.core.configuration
        must(
            not at or rules == newest,
            f"{computer.name} starts with {shown(rules)}, its log says {shown(newest)}",
        )

    def served(self, computer: Computer | None, asked_at: float) -> None:
        """A client was given what it asked for."""
        self.answered += 1
        if computer is not None and asked_at > self.outside.get(computer.name, inf):
            # The leader may be about to take it in again, before it knows that itself.
            again = any(computer.name in each.everybody for each in self.ruling())
            must(again, f"{computer.name} serves, though it knows that it is no member")

    def _came_of(self, computer: Computer, index: int, stamp_ms: int, replies: list[Any]) -> None:
        shown = [str(reply) if isinstance(reply, CommandError) else reply for reply in replies]
        what = crc32(repr((stamp_ms, shown)).encode())
        first = self.replies.setdefault(index, what)
        must(first == what, f"{computer.name} came to another result of entry {index} than others")

    def _stands(self, index: int, digest: bytes, name: str) -> None:
        """The same index is the same state, whoever took its snapshot."""
        first = self.states.setdefault(index, digest)
        must(first == digest, f"{name} has another state at {index} than others")

    def same_state(self) -> None:
        """In the end: every node that has come equally far has the same state."""
        ends: dict[int, int] = {}
        for computer in self.cluster.computers.values():
            if computer.process is not None:
                machine = computer.process.machine
                first = ends.setdefault(machine.applied, state_of(machine.keyspace))
                must(first == state_of(machine.keyspace), f"{computer.name} has another state than others")

    def logs_match(self) -> None:
        """If two logs hold an entry of the same index and term, they agree up to there (§5.3)."""
        disks = [computer.disk for computer in self.cluster.computers.values() if not computer.disk.damaged]
        for place, one in enumerate(disks):
            mine = one.table("journal", b"entries")
            for other in disks[place + 1 :]:
                theirs = other.table("journal", b"entries")
                same = False
                for key in reversed([key for key in mine.keys[-200:] if key in theirs.values]):
                    first, second = mine.values[key], theirs.values[key]
                    if same:
                        must(
                            first[4:] == second[4:], "two logs agree on an entry, but not on those before it"
                        )
                    same = same or codec.term_of(first) == codec.term_of(second)
                    if same:
                        must(first[4:] == second[4:], "two entries of one index and term differ")


def agrees(configuration: Configuration, holders: set[str]) -> bool:
    """Whether these are a majority of each set of voters."""
    sets = [each for each in (configuration.voters, configuration.outgoing) if each]
    return all(len(each & holders) >= majority(len(each)) for each in sets)


def fact(entry: Entry) -> Fact:
    return int(entry.kind), entry.term, crc32(entry.data)


def state_of(keyspace: Keyspace) -> int:
    """A checksum over the images of all slots that hold something."""
    total = crc32(extras(keyspace), keyspace.stamp_ms & 0xFFFFFFFF)
    for database in keyspace.used():
        for slot, values in enumerate(database.values):
            if values:
                for part in parts(values, database.deadlines[slot]):
                    total = crc32(part, crc32(b"%d/%d" % (database.index, slot), total))
    return total


def codec_fact(disk: Disk, index: int) -> Fact | None:
    """An entry as it is on a disk."""
    record = disk.table("journal", b"entries").values.get(codec.key_of(index))
    if record is None:
        return None
    try:
        return fact(codec.decode_entry(index, record))
    except (Fault, ValueError):
        return None


def base_of(disk: Disk) -> codec.Base:
    record = disk.table("journal", b"node").values.get(b"base")
    return codec.decode_base(record) if record is not None else codec.Base()


def has_held(computer: Computer, index: int, what: Fact) -> bool:
    """Whether it is on the disk, or was on one that was lost and has not been made up for."""
    if computer.disk.damaged:
        return True  # nobody can tell any more
    disks = [computer.disk, *(computer.lost if computer.lost and computer.promised().fresh else ())]
    return any(index <= base_of(disk).index or codec_fact(disk, index) == what for disk in disks)
