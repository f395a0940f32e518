"""The Redis serialization protocol, both ways: `parser` reads requests, `replies` writes answers."""
