"""The bugs. Each is one that a tired author might write, or that was found in a system like this one."""

from __future__ import annotations

from typing import Final, NamedTuple

STORIES, CORE, WHOLE = "stories", "core", "whole"
RAFT: Final = (STORIES, CORE, WHOLE)
READS: Final = ("tests/node/test_linearizable_reads.py", WHOLE, "tests/server/test_pipelines.py")
WRITES: Final = (WHOLE, "tests/node/test_overlooked.py", "tests/node/test_proposals.py")
CLOCK: Final = ("tests/test_clock.py", WHOLE)
STATE: Final = ("tests/test_machine.py", WHOLE, "tests/test_imaging.py")
JOURNAL: Final = ("tests/storage/test_journal.py", WHOLE)
SNAPSHOTS: Final = ("tests/storage/test_snapshots.py", WHOLE, "tests/node/test_recovery.py")
TRANSFER: Final = ("tests/node/test_overlooked.py", WHOLE, "tests/node/test_transfer.py")
MEMBERS: Final = (WHOLE,)
ORDERS: Final = ("tests/node/test_membership.py",)
WIRE: Final = ("tests/peers/test_wire.py",)


class Plant(NamedTuple):
    """`old` stands once in ironkv/`file` and becomes `new`; `suites` are asked in this order."""

    name: str
    file: str
    old: str
    new: str
    suites: tuple[str, ...] = RAFT


PLANTS: Final = (
    # -- membership
    Plant(
        "a configuration outlives its entry",
        "raft/following.py",
        "            self._members.cut(new)\n",
        "",
        (STORIES, CORE),
    ),
    Plant(
        "the new voters alone decide while a change is under way",
        "raft/membership.py",
        "for each in (ids, outgoing) if each]",
        "for each in (ids,) if each]",
        (STORIES, CORE),
    ),
    Plant(
        "a change begins before an entry of the own term is committed",
        "raft/leader.py",
        "        if not self.settled:\n            raise ChangeLater",
        "        if False:\n            raise ChangeLater",
        (STORIES, CORE),
    ),
    Plant(
        "two changes at once",
        "raft/leader.py",
        '        if self._changing:\n            raise ChangeLater("another',
        '        if False:\n            raise ChangeLater("another',
        (STORIES, CORE),
    ),
    Plant(
        "a removed leader rules on",
        "raft/leader.py",
        "            self.unseated = True\n",
        "            pass\n",
        (STORIES, CORE),
    ),
    Plant(
        "nobody leaves the joint configuration",
        "raft/leader.py",
        "            self._configure(current.settled(), now)\n",
        "            pass\n",
        (STORIES, CORE),
    ),
    Plant(
        "a leader counts itself though it has no vote",
        "raft/membership.py",
        "majority_index([mine if each == me else theirs(each) for each in one])",
        "majority_index([mine if each == me else theirs(each) for each in one] + [mine] * (me not in one))",
        (STORIES, CORE),
    ),
    Plant(
        "a snapshot does not say who belongs to the cluster",
        "raft/core.py",
        "        self._members.installed(index, configuration, replaced=replaced)\n",
        "        self._members.installed(index, None, replaced=replaced)\n",
        (STORIES, CORE),
    ),
    Plant(
        "learners stand for election",
        "raft/core.py",
        "        if not self._members.may_stand(self._log.commit):\n            self._follow(",
        "        if False:\n            self._follow(",
        (STORIES, CORE),
    ),
    Plant(
        "one of two majorities is enough to commit",
        "raft/membership.py",
        "        return min(\n            (majority_index(",
        "        return max(\n            (majority_index(",
        (STORIES, WHOLE),
    ),
    Plant(
        "one of two majorities elects",
        "raft/membership.py",
        "        return all(\n            sum(not granted",
        "        return any(\n            sum(not granted",
        (STORIES, CORE),
    ),
    Plant(
        "a follower goes by a configuration only when it is committed",
        "raft/following.py",
        "self._members.appended(message.entries[new - prev - 1 :])",
        "self._members.appended(e for e in message.entries[new - prev - 1 :] if e.index <= message.commit)",
        (WHOLE,),
    ),
    Plant(
        "who was removed is still told where to read",
        "raft/leader.py",
        "if asker is not None and asker not in self.followers:",
        "if False:",
        (STORIES, WHOLE),
    ),
    Plant(
        "a start forgets a configuration that is not committed",
        "node/storage.py",
        "            if entry.kind is EntryKind.CONFIG:  # it rules",
        "            if entry.kind is EntryKind.CONFIG and entry.index <= known:  # it rules",
        MEMBERS,
    ),
    Plant(
        "a start does not ask the snapshot for the members",
        "node/storage.py",
        "        if manifest.membership[0]:\n",
        "        if False:\n",
        MEMBERS,
    ),
    Plant(
        "a snapshot names the members of when it was finished",
        "node/snapshotting.py",
        "            membership=job.membership,\n",
        "            membership=self._machine.membership,\n",
        MEMBERS,
    ),
    Plant(
        "an installed snapshot does not say who the members are",
        "node/node.py",
        "            if manifest.membership[0]:\n",
        "            if False:\n",
        MEMBERS,
    ),
    Plant(
        "connections do not follow the members",
        "node/node.py",
        "        self.roster.follow(self.driver.core.configuration, self.machine.membership[1])\n",
        "",
        MEMBERS,
    ),
    Plant(
        "an order is said to be done before it is committed",
        "node/membership.py",
        "        return done(applied) and not applied.joint and rules == applied",
        "        return done(rules)",
        MEMBERS,
    ),
    Plant(
        "an order is said to be done when the leader that had it is gone",
        "node/membership.py",
        '                wish.settle("" if found else UNKNOWN)',
        '                wish.settle("")',
        (*ORDERS, WHOLE),
    ),
    Plant(
        "an order is judged by a state that may be older",
        "node/membership.py",
        "            current = look.seen\n",
        "            current = True\n",
        (*ORDERS, WHOLE),
    ),
    Plant(
        "a learner that was never there gets a vote",
        "raft/leader.py",
        "            if not self._in_sync(node, now):\n",
        "            if False:\n",
        (STORIES,),
    ),
    Plant(
        "an order that began is said not to have happened",
        "node/membership.py",
        "            wish.settle(UNKNOWN if wish.begun else str(self._world.not_leader()))",
        "            wish.settle(str(self._world.not_leader()))",
        ORDERS,
    ),
    Plant(
        "a node that is no member serves local reads",
        "node/node.py",
        ' == "local") and not self.roster.outside:',
        ' == "local"):',
        ORDERS,
    ),
    # -- elections and promises
    Plant(
        "a vote leaves before it is durable",
        "raft/promises.py",
        "        if self.durable:\n            outbox.append(message)",
        "        if True:\n            outbox.append(message)",
    ),
    Plant(
        "two votes in one term",
        "raft/core.py",
        "            and self._hard.voted_for in (None, message.sender)\n",
        "",
    ),
    Plant(
        "a vote for a log that lacks entries",
        "raft/log.py",
        "return (last_term, last_index) >= (self.last_term, self.last_index)",
        "return last_index >= self.last_index",
    ),
    Plant(
        "a vote without looking at the log",
        "raft/log.py",
        "return (last_term, last_index) >= (self.last_term, self.last_index)",
        "return True",
    ),
    Plant(
        "PreVote does not look at the log",
        "raft/core.py",
        "            and not self._bound(now)\n"
        "            and self._log.up_to_date(message.last_index, message.last_term)\n",
        "            and not self._bound(now)\n",
    ),
    Plant(
        "PreVote does not ask whether a leader lives",
        "raft/core.py",
        "            and not self._bound(now)\n            and self._log",
        "            and self._log",
    ),
    Plant(
        "a vote in spite of a living leader",
        "raft/core.py",
        "if message.term >= self.term and self._bound(now):",
        "if False:",
    ),
    Plant(
        "a node that starts owes no loyalty",
        "raft/loyalty.py",
        "        self.heard = now\n        self.heard_round = (0, 0)",
        "        self.heard = -1e18\n        self.heard_round = (0, 0)",
    ),
    Plant(
        "a minority elects",
        "raft/quorum.py",
        "return voters // 2 + 1",
        "return voters // 2",
    ),
    Plant(
        "CheckQuorum never strikes",
        "raft/leader.py",
        "return now >= self.rounds.unanswered_since() + self._config.election_timeout_ms",
        "return False",
    ),
    Plant(
        "a node that lost its disk votes as if nothing had happened",
        "node/storage.py",
        "        return bool(self._others)\n",
        "        return False\n",
        (WHOLE,),
    ),
    Plant(
        "a node that lost its journal alone takes itself for one that has all",
        "node/storage.py",
        "journal.reset(index, term, fresh=self.fresh or bool(older and self._others))",
        "journal.reset(index, term, fresh=False)",
        ("tests/node/test_recovery.py", WHOLE),
    ),
    # -- replication
    Plant(
        "entries of older terms are counted (figure 8)",
        "raft/leader.py",
        "if index <= self._log.commit or index < self.first_of_term:",
        "if index <= self._log.commit:",
    ),
    Plant(
        "one disk is enough to commit",
        "raft/quorum.py",
        "return sorted(acked, reverse=True)[len(acked) // 2]",
        "return sorted(acked, reverse=True)[max(0, len(acked) // 2 - 1)]",
    ),
    Plant(
        "an ack before the entries are durable",
        "raft/following.py",
        "match = min(self._matched, self._log.durable)",
        "match = self._matched",
    ),
    Plant(
        "the disk's report is taken for the newest write (ABA)",
        "raft/core.py",
        "        if mark != self._writing:\n",
        "        if False:\n",
    ),
    Plant(
        "a write under way vouches for entries that replaced it",
        "raft/log.py",
        "        self._writing = min(self._writing, index - 1)\n",
        "",
    ),
    Plant(
        "a conflict leaves `durable` where it was",
        "raft/log.py",
        "        self.durable = min(self.durable, index - 1)\n",
        "",
    ),
    Plant(
        "no truncation on a conflict",
        "raft/log.py",
        "if self.knows(entry.index) and self.term(entry.index) != entry.term:",
        "if False:",
    ),
    Plant(
        "a repeated Append truncates",
        "raft/log.py",
        "if self.knows(entry.index) and self.term(entry.index) != entry.term:",
        "if self.knows(entry.index) and entry.index > self.commit:",
    ),
    Plant(
        "commit goes beyond what is known to match",
        "raft/following.py",
        "min(message.commit, self._matched)",
        "min(message.commit, log.last_index)",
    ),
    Plant(
        "the match with one leader is taken for the next's",
        "raft/following.py",
        "        self._matched = self._log.commit\n        self._acked = 0",
        "        self._acked = 0",
    ),
    Plant(
        "entries are taken without looking at the one before",
        "raft/log.py",
        "return self.knows(index) and self.term(index) == term",
        "return self.knows(index)",
    ),
    Plant(
        "no entry of its own when a leader begins",
        "raft/leader.py",
        '        self._add(EntryKind.NOOP, b"")\n',
        "",
    ),
    Plant(
        "the window to a follower has no end",
        "raft/progress.py",
        "            and len(self._flight) < most_messages\n",
        "",
    ),
    Plant(
        "acks of a disk that was lost still count",
        "raft/progress.py",
        "self.match = self.round = self.commit_sent = self.fresh_since = 0",
        "self.round = self.commit_sent = self.fresh_since = 0",
    ),
    Plant(
        "what a fresh follower says counts at once",
        "raft/leader.py",
        "        if not since:\n            return True\n",
        "        if since >= 0:\n            return True\n",
    ),
    Plant(
        "the only voter elects others by a vote that it may have forgotten",
        "raft/membership.py",
        "if len(self.ids) > 1 and self.ids <= granted.keys():",
        "if self.ids <= granted.keys():",
    ),
    Plant(
        "who lost its disk stands where its log says that it decides alone",
        "raft/core.py",
        "return self._members.voters.alone and not self._hard.fresh",
        "return self._members.voters.alone",
    ),
    Plant(
        "a removal ends with one voter though that may have forgotten its promises",
        "raft/leader.py",
        "            if not self._ends_with_who_forgot(current.voters):\n                self",
        "            if True:\n                self",
    ),
    Plant(
        "a removal that waited for its last voter does not go on",
        "raft/leader.py",
        "                self._go_on_changing(now)  # that had waited for it\n",
        "                pass\n",
    ),
    Plant(
        "the only voter answers a leader that has no vote, whatever it may have forgotten",
        "raft/leader.py",
        "        if voters.ids == {peer}:\n            return False\n",
        "",
    ),
    # -- leases and reads
    Plant(
        "a lease without an entry of its own term",
        "raft/leader.py",
        "or self.transfer is not None or not self.settled:",
        "or self.transfer is not None:",
    ),
    Plant(
        "a lease while leadership is handed over",
        "raft/leader.py",
        "if not self._config.lease_reads or self.transfer is not None or not",
        "if not self._config.lease_reads or not",
    ),
    Plant(
        "a lease longer than the promise it rests on",
        "raft/reads.py",
        "LEASE_FRACTION: Final = 0.8",
        "LEASE_FRACTION: Final = 1.6",
    ),
    Plant(
        "a lease counted from later than its round was sent",
        "raft/reads.py",
        "        self._sent.append((self.number, now))",
        "        self._sent.append((self.number, now + 100))",
    ),
    Plant(
        "a lease from before a transfer that was given up",
        "raft/leader.py",
        "            self.rounds.give_away(self.transfer.horizon)\n",
        "",
    ),
    Plant(
        "ReadIndex without an entry of its own term",
        "raft/leader.py",
        "        if self.settled:\n            for read",
        "        if True:\n            for read",
    ),
    Plant(
        "a read joins a round that was sent before it",
        "raft/reads.py",
        "        self._gathering.append(read)",
        "        if self._asked:\n            self._asked.append((self._asked[-1][0], read))\n"
        "        else:\n            self._gathering.append(read)",
    ),
    Plant(
        "reads are served without a lease",
        "node/node.py",
        "        if now < self.driver.readable_until:\n"
        "            self._set_read_time(now)\n            return True\n        if (connection",
        "        if self.leading:\n"
        "            self._set_read_time(now)\n            return True\n        if (connection",
        READS,
    ),
    Plant(
        "the lease outlives its leader",
        "node/driver.py",
        "self.readable_until = core.lease_until() if self.machine.applied == core.commit else -inf",
        "self.readable_until = max(self.readable_until, core.lease_until())",
        READS,
    ),
    Plant(
        "a granted read does not wait until its index is applied",
        "node/driver.py",
        "self.reads.release(self.machine.applied)",
        "self.reads.release(1 << 62)",
        READS,
    ),
    Plant(
        "a round answers reads that came after it",
        "node/reads.py",
        "                    reader.may_read(requests)",
        "                    reader.may_read(1 << 30)",
        READS,
    ),
    Plant(
        "a read rides on a batch that is on its way",
        "node/proposals.py",
        "return owner.batch is not None and owner.batch.index == 0",
        "return owner.batch is not None",
        READS,
    ),
    # -- writes and their replies
    Plant(
        "an overwritten batch is answered as done",
        "node/proposals.py",
        "mine = [batch for batch in here if batch.term == entry.term]",
        "mine = here",
        ("tests/node/test_proposals.py", WHOLE),
    ),
    Plant(
        "a write whose fate is open is said not to have happened",
        "node/proposals.py",
        "self._fail(batch, OutcomeUnknown(UNKNOWN))",
        'self._fail(batch, NotAvailable("NOTLEADER not leader"))',
        WRITES,
    ),
    Plant(
        "writes in flight are forgotten at step-down",
        "node/driver.py",
        "            self.proposals.orphan(now + self._unknown_after_ms)\n",
        "            pass\n",
        WRITES,
    ),
    Plant(
        "a reply is given twice",
        "node/proposals.py",
        "                owner.settle(batch.replies[at : at + count])  # type: ignore[index]\n",
        "                owner.settle(batch.replies[at : at + count])  # type: ignore[index]\n"
        "                if len(queue) > 2:\n"
        "                    owner.settle(batch.replies[at : at + count])  # type: ignore[index]\n",
        WRITES,
    ),
    Plant(
        "what is gathered is proposed twice when it was refused once",
        "node/proposals.py",
        "                self._full = batches[place:]  # nobody is refused",
        "                self._full = [*batches[place:], *batches[place:]]  # nobody is refused",
        WRITES,
    ),
    # -- time
    Plant(
        "a leader takes its own clock for the cluster's",
        "clock.py",
        "self._offset = max(offsets[(len(offsets) - 1) // 2], self._floor)",
        "self._offset = wall - now",
        CLOCK,
    ),
    Plant(
        "a new leader's time may lie behind the old one's",
        "clock.py",
        "self._offset = max(offsets[(len(offsets) - 1) // 2], self._floor)",
        "self._offset = offsets[(len(offsets) - 1) // 2]",
        CLOCK,
    ),
    Plant(
        "nobody ticks when keys fall due",
        "node/driver.py",
        "if due_ms is not None and due_ms <= self.clock.now_ms(now):",
        "if False:",
        ("tests/node/test_time.py", WHOLE),
    ),
    Plant(
        "a transfer that was ordered begins while writes are gathered",
        "node/driver.py",
        "if begin is None or self.proposals.waiting:",
        "if begin is None:",
        ("tests/node/test_handing_over.py",),
    ),
    Plant(
        "writes are not let go when a transfer fails",
        "node/driver.py",
        "if self._holding and not self.transferring and core.leader is not None:",
        "if self._holding and not self.transferring and not self.leading:",
        ("tests/node/test_handing_over.py",),
    ),
    Plant(
        "a leader that stops closes clients whose writes it held, without a word",
        "node/node.py",
        "lambda: not held.holding and self.proposals.idle and relayed.idle",
        "lambda: self.proposals.idle and relayed.idle",
        ("tests/cluster/test_rolling_restart.py",),
    ),
    Plant(
        "who pours has all that was read at once under way",
        "server/weights.py",
        "CHUNK_MOST: Final = 128 << 10",
        "CHUNK_MOST: Final = 128 << 20",
        ("tests/server/test_pressure.py",),
    ),
    Plant(
        "a write in vain is answered from a state that may be old",
        "server/vain.py",
        "if not dispatch.server.is_current():",
        "if False:",
        ("tests/node/test_vain.py",),
    ),
    Plant(
        "a write in vain overtakes the client's own writes",
        "server/vain.py",
        "row.vain is None or connection.pending or",
        "row.vain is None or",
        ("tests/node/test_vain.py",),
    ),
    Plant(
        "a stop notes as committed what is not on the disk",
        "node/storage.py",
        "min(self._machine.applied, self._host.durable_index())",
        "self._machine.applied",
        ("tests/node/test_recovery.py",),
    ),
    Plant(
        "the answer to an order of an earlier life fits one of this life",
        "node/membership.py",
        "random.SystemRandom().getrandbits(62)",
        "0",
        ("tests/node/test_membership.py",),
    ),
    Plant(
        "chance differs between replicas",
        "keyspace/keyspace.py",
        "self._chance = random.Random(self.entry)",
        "self._chance = random.Random()",
        STATE,
    ),
    Plant(
        "deadlines are set by a clock of the replica's own",
        "machine.py",
        "        keyspace.purge(PURGE_MOST)\n",
        "        keyspace.purge(PURGE_MOST)\n        now_ms += id(self) // 64 % 1000\n",
        STATE,
    ),
    # -- the journal
    Plant(
        "a vote is not written again",
        "storage/journal.py",
        "if promise != self._promise or self._hint_age",
        "if self._promise is None or self._hint_age",
        JOURNAL,
    ),
    Plant(
        "commits are not flushed",
        "storage/environment.py",
        "max_dbs=len(tables), subdir=True, max_spare_txns=4,",
        "max_dbs=len(tables), subdir=True, max_spare_txns=4, sync=False,",
        (WHOLE,),
    ),
    Plant(
        "a conflicting tail stays in the journal",
        "storage/journal.py",
        "        if first <= self.last_index:\n            self._truncate(txn, first)\n",
        "",
        JOURNAL,
    ),
    Plant(
        "a failed flush is tried again in place",
        "storage/journal.py",
        "if isinstance(error, lmdb.PanicError | lmdb.CorruptedError) or not is_full(self.path):",
        "if isinstance(error, lmdb.PanicError | lmdb.CorruptedError):",
        JOURNAL,
    ),
    Plant(
        "damaged entries are taken",
        "storage/codec.py",
        "        if crc == crc_of(record):\n",
        "        if True:\n",
        JOURNAL,
    ),
    Plant(
        "a journal that lost its end is taken",
        "storage/journal.py",
        "        if self.commit > self.last_index:\n",
        "        if False:\n",
        JOURNAL,
    ),
    Plant(
        "recovery applies what is not known to be committed",
        "node/storage.py",
        "            if entry.index <= known:\n",
        "            if True:\n",
        (WHOLE, "tests/node/test_recovery.py"),
    ),
    # -- snapshots
    Plant(
        "a snapshot is current before the journal has its entries",
        "node/snapshotting.py",
        "if job.orders or job.finishing or self._world.durable_index() < job.index:",
        "if job.orders or job.finishing:",
        SNAPSHOTS,
    ),
    Plant(
        "a snapshot is current though an image of it could not be written",
        "node/snapshotting.py",
        "if job.orders or job.finishing or",
        "if job.queued or job.finishing or",
        SNAPSHOTS,
    ),
    Plant(
        "a snapshot shows writes that came after it",
        "imaging.py",
        "        keyspace.imager = self.before_write\n",
        "",
        STATE,
    ),
    Plant(
        "the log is trimmed beyond the snapshot",
        "node/compaction.py",
        "        return min(self.snapshot_index, pinned, tail)",
        "        return min(pinned, tail)",
        TRANSFER,
    ),
    Plant(
        "the log is trimmed under a snapshot that is being sent",
        "node/compaction.py",
        "        return min(self.snapshot_index, pinned, tail)",
        "        return min(self.snapshot_index, tail)",
        TRANSFER,
    ),
    Plant(
        "an old snapshot is installed over a newer state",
        "raft/core.py",
        "if index <= self._log.commit or self._lead is not None:",
        "if self._lead is not None:",
    ),
    Plant(
        "a snapshot is taken to fit a log of another term",
        "raft/log.py",
        "replaced = not self.matches(index, term)",
        "replaced = index > self.last_index",
    ),
    Plant(
        "parts of a snapshot that got lost are not missed",
        "node/transfer.py",
        "        if after != last:\n",
        "        if False:\n",
        TRANSFER,
    ),
    Plant(
        "a snapshot is loaded without its digest being compared",
        "storage/snapshots.py",
        "if images.digest_of_state(digests, beside, manifest.stamp_ms) != manifest.digest:",
        "if False:",
        SNAPSHOTS,
    ),
    Plant(
        "a journal that does not fit the snapshot is kept",
        "node/storage.py",
        "if newest is not None and (journal.last_index < index or journal.term(index) != term):",
        "if newest is not None and journal.last_index < index:",
        ("tests/node/test_recovery.py",),
    ),
    Plant(
        "leftovers of an unfinished snapshot stay",
        "node/snapshotting.py",
        "self._world.in_thread(self._snapshots.clear_leftovers, lambda error: self._written(job, 0, error))",
        "self._world.in_thread(lambda: None, lambda error: self._written(job, 0, error))",
        SNAPSHOTS,
    ),
    # -- between the nodes
    Plant(
        "a frame's checksum is not compared",
        "peers/wire.py",
        "            if crc32(body) != crc:\n",
        "            if False:\n",
        WIRE,
    ),
    Plant(
        "a length may be anything",
        "peers/wire.py",
        "            if size > self.frame_max:\n",
        "            if False:\n",
        WIRE,
    ),
    Plant(
        "entries in a frame may have gaps",
        "peers/wire.py",
        "        if entry.index != place:\n",
        "        if False:\n",
        WIRE,
    ),
)
