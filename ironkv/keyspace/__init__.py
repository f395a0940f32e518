"""The state: 16 databases of typed values with deadlines. Pure: no clock, no disk, no waiting.

Read `slots` (where a key lives), `keyspace` (the databases), `expiry` (which deadline falls due when).
"""
