"""IronKV: a replicated, durable key-value store that any Redis client can use."""

__version__ = "0.1.0"
