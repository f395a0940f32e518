"""A whole cluster in virtual time, from one seed: real cores, simulated clocks, network and disks.

    faults    what may go wrong in one run, and how often; drawn from the seed
    disk      a journal that forgets what was not synced
    checks    what must hold at every moment, whatever goes wrong
    node      a real core with a clock, a disk, snapshots, clients
    cluster   the event queue, the network, and what befalls the nodes
    describe  messages as a line in a trace

Each run has two parts: a storm, in which anything may fail, and a calm, in which nothing does and
progress is demanded. `python -m tests.sim SEED --trace` replays one; `python -m tests.sim 1 5000` runs many.
"""
