"""Whole nodes in virtual time, from one seed.

Real are the Raft core, driver, proposals, reads, dispatch, connections, the frames' bytes, journal, snapshots
and their transfer, recovery, compaction and the state machine. Simulated is what these stand on:

    world     time and chance: clocks that drift and jump, an event queue
    lmdb      LMDB in memory, on disks that fail, fill up, and lose what was not synced
    threads   the journal's and the snapshots' thread, as delays
    computer  a machine: its clock and disk, the process on it, and when it stops
    cluster   the network between the computers, and the run: a storm, then a calm
    troubles  what may go wrong in one run, and how often
    callers   connections to the nodes, and what goes over them
    clients   what clients ask, and what they were told
    membership operators who change the members, and nodes that ask to be taken in
    history   whether that can be explained by one copy of the data (linearizability)
    checks    what must hold at every moment, whatever goes wrong

`tools/sim --replay SEED` replays one run with its trace; `tools/sim --seeds N` runs many.
"""
