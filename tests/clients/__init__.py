"""Software written for Redis, run as it is against a cluster of three: does its work get done?

    test_libraries   the programs in `python/` and `node/`, each with libraries and workers from PyPI or npm
    test_redis_cli   what redis-cli does beyond single commands, and redis-benchmark with all its tests

Each program has a database of its own, so they run side by side; it asserts what it did itself.
`npm ci --ignore-scripts --prefix tests/clients/node` installs what those in `node/` need. (The override in
its package.json is for an optional accelerator of BullMQ's that has not every file its newest version names.)
"""
