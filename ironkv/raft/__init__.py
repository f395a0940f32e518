"""Raft: how several nodes keep one log, and lose none of it while a majority of them lives.

What is promised
    1. At most one leader per term.
    2. Once an entry is committed, it stands in the log of every later leader, at the same index.
    3. Committed entries are handed out on every node in the same order, without gaps, each once.
    4. A read that is granted at an index sees every write acknowledged before the read was asked.
    5. While a majority of nodes can reach each other and their disks answer, writes go on; after the
       loss of a leader they resume within about two election timeouts.
The first four hold whatever the network, the disks and the schedulers do, short of a disk that forgets
what it reported as durable. A disk may be lost as a whole, if the node then begins with an empty one and
says so (`HardState.fresh`): one at a time, the next when the node of the last is fresh no longer. The
fourth also needs clocks whose *rates* agree within 11 % (reads.py); what they show does not matter. Only
the fifth needs things to go well.

How it is built
    The core is a plain object. Messages, the time and disk reports go in; `ready()` says what to send,
    write, apply and answer. It never waits, reads no clock, touches no disk or socket, and draws chance
    from a generator it was given: the same inputs give the same outputs. So a whole cluster runs inside
    a test, in virtual time, from one seed (tests/sim), and a failure can be replayed.

    `now` is in milliseconds of a clock that never jumps and goes on counting while the machine is
    suspended (CLOCK_BOOTTIME). With each call it may only grow.

The story of a write
    `propose` appends an entry to the leader's log. The next `ready()` sends it to the followers and
    hands it to the leader's own journal at the same time: nobody waits for anybody's disk but their own.
    A follower answers once its disk has the entry. When a majority of disks has it, the leader's among
    them or not, it is committed, and the next `ready()` hands it out.

    Whatever a node promises (a vote, "I have this entry") is kept back in here until `persisted` has
    reported the write that makes it true. So the driver may send every message it is given at once, and
    there is no order in which it could get that wrong. One write is under way at a time; whatever comes
    up meanwhile goes into the next one together, which is what makes many small writes cheap.

Its words
    term         a number for a reign; at most one leader each (§5.1)
    commit       the index up to which entries are settled for good
    match        the index up to which a follower has the leader's log on disk
    round        a broadcast of the leader, numbered; answers repeat the number, which proves that the
                 follower was still loyal when that round was sent
    lease        for how long a majority's answers let the leader read without asking again
    bound        a node that heard from a leader less than an election timeout ago elects nobody else:
                 leases rest on that
    hard state   term and vote; durable before anything that rests on them leaves
    fresh        of a node: it began with an empty directory, and may have forgotten promises
    learner      a member without a vote: it is sent the log, and counts for nothing (thesis §4.2.1)
    joint        of a configuration: old and new voters, of whom a majority each must agree (§6)
    stranded     of a follower: it needs entries that are compacted away; a snapshot helps it (§7)

Section numbers in comments: "§5.3" is the paper (Ongaro & Ousterhout, In Search of an Understandable
Consensus Algorithm, extended version), "thesis §6.4" Ongaro's dissertation.

Where to read
    messages     what nodes say to each other, and what the core says to its driver
    config       limits and times; how the core says no
    quorum, membership    majorities; who votes, and what a node counts for that lost its disk
    configuration    who belongs to the cluster, and how that changes (§6)
    log          the tail in memory, the journal behind it, and how far each stage has come
    promises     what may not leave before it is durable
    progress     what a leader knows of one follower
    reads        rounds, leases, ReadIndex
    loyalty      what a node owes the leader it heard last
    following    what a follower takes over of its leader's log, and what it says it has
    ballot       an election, from the side of who would win it
    leader       what exists only while a node leads
    core         the rest: terms, who votes for whom, and the turn of the crank

Missing on purpose
    InstallSnapshot (§7): the node streams snapshots beside the core, which names who needs one
    (`stranded`), keeps it loyal with heartbeats, and goes on from it (`install`).
    Witnesses: two nodes cannot survive the loss of one.
    Batching: one proposal is one entry. Whoever gathers commands does so before they get here.
    Retries: a proposal that is lost with its leader is not proposed again. That it was lost shows in
    another entry being handed out at its index.
"""
