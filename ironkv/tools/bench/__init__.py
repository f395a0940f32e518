"""`tools/bench`: IronKV beside a local redis-server on the same machine, in one run.

    machine      what it runs on: cores, memory, disk, and how long its fsync takes
    partners     the servers that are compared
    throughput   redis-benchmark against all of them, in turns
    failover     how long nobody takes a write when the leader dies, or is asked to go
    replay       how long a restart takes with a long log
    connections  thousands of clients at once, each of them served
    storage      what snapshots cost and save
    collections  lists, sets, sorted sets and hashes: throughput, reach into a large one, memory
    report       targets, tables, JSON
    plot         the SVG

A machine that is shared is noisy. So the partners take turns within seconds, a figure is the median of
several rounds, and a ratio is the median of the ratios of the rounds, not the ratio of the medians.
"""
