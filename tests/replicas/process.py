"""One replica in a process of its own: applies the entries that come in and says what became of them.

Messages are msgpack: ["begin"], ["apply", data], ["image"] and ["load", image]; each is answered.
"""

from __future__ import annotations

import sys
from hashlib import blake2b
from typing import Any

import msgpack

from ironkv import batch, images
from ironkv.keyspace.keyspace import Keyspace
from ironkv.machine import Machine
from ironkv.resp.replies import encode


class Replica:
    """A machine that can be imaged and begun anew."""

    def __init__(self) -> None:
        self.machine = Machine()

    def begin(self) -> str:
        self.machine = Machine()
        return "begun"

    def apply(self, data: bytes) -> list[Any]:
        """[digest of the state, [reply on the wire, …]]"""
        machine = self.machine
        stamp_ms, items = batch.decode(data)
        replies = machine.run(machine.applied + 1, stamp_ms, items, _refuse)
        return [self.digest(), [encode(reply, 2) for reply in replies]]

    def digest(self) -> bytes:
        """As `images.digest_of_keyspace`, but in no time where little is held."""
        found = blake2b()
        for index, slot, part in self._parts():
            found.update(b"%d/%d/" % (index, slot) + part)
        keyspace = self.machine.keyspace
        found.update(images.extras(keyspace) + b"%d" % keyspace.stamp_ms)
        return found.digest()

    def _parts(self) -> list[tuple[int, int, bytes]]:
        return [
            (database.index, slot, part)
            for database in self.machine.keyspace.used()
            for slot, values in enumerate(database.values)
            if values
            for part in images.parts(values, database.deadlines[slot])
        ]

    def image(self) -> list[Any]:
        keyspace = self.machine.keyspace
        return [self.machine.applied, keyspace.stamp_ms, images.extras(keyspace), self._parts()]

    def load(self, image: list[Any]) -> str:
        applied, stamp_ms, extras, parts = image
        new = Keyspace()
        new.stamp_ms, new.entry = stamp_ms, applied
        images.load_extras(new, extras)
        slots: dict[tuple[int, int], list[bytes]] = {}
        for index, slot, part in parts:
            slots.setdefault((index, slot), []).append(part)
        for (index, slot), held in slots.items():
            images.load(new.database(index), slot, held)
        self.machine = Machine()
        self.machine.keyspace.adopt(new)
        self.machine.applied = applied
        return "loaded"


def _refuse(item: Any) -> Any:
    raise AssertionError(f"no entry holds {item!r}")


def main() -> None:
    replica = Replica()
    output = sys.stdout.buffer
    pipe = sys.stdin.buffer.raw  # type: ignore[attr-defined]  # which does not wait for more than there is
    for name, *arguments in msgpack.Unpacker(pipe, raw=False, max_buffer_size=1 << 30):
        output.write(msgpack.packb(getattr(replica, name)(*arguments)))
        output.flush()


if __name__ == "__main__":
    main()
