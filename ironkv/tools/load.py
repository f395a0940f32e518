"""Writers that remember what was acknowledged, and the check that all of it is there and nothing else.

Each writer alternates between SETs of keys never used before and INCRs of a counter of its own. Afterwards

    L1  every acknowledged SET is there with its value
    L2  a key that was certainly refused, and not sent again, is not there
    L3  a counter's replies rise by at least one each time, and its end lies between what was acknowledged
        and that plus the writes of unknown outcome

L2 and L3 also catch a write that was refused or given up and then happened after all.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from ironkv.tools.client import Client, ErrorReply, ProtocolFault
from ironkv.tools.nodes import Node

# Errors that promise nothing was done: the same write may be sent again.
NOTHING_DONE = frozenset({"NOTLEADER", "CLUSTERDOWN", "TRYAGAIN", "LOADING"})
_HINT = re.compile(r" at (\S+):(\d+)$")
_CHUNK = 500


@dataclass(slots=True)
class Ledger:
    """What one writer knows about its own writes."""

    counter: str
    acknowledged: dict[str, str] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    counted: int = 0
    count_unknown: int = 0
    last_count: int = 0
    complaints: list[str] = field(default_factory=list)


class Writer(threading.Thread):
    """One connection that writes as fast as it is answered, follows the leader, and keeps the ledger."""

    def __init__(self, nodes: Sequence[Node], prefix: str, number: int, stop: threading.Event) -> None:
        super().__init__(name=f"writer {number}", daemon=True)
        self.ledger = Ledger(f"{prefix}{number}:count")
        self._nodes = nodes
        self._prefix = f"{prefix}{number}:"
        self._stop_asked = stop
        self._client: Client | None = None
        self._target = number % len(nodes)

    def run(self) -> None:
        turn = 0
        try:
            while not self._stop_asked.is_set():
                turn += 1
                if turn % 4:
                    self._set(f"{self._prefix}{turn}", f"value {turn} of {self.name}")
                else:
                    self._increment()
        finally:
            self._hang_up()

    def _set(self, key: str, value: str) -> None:
        outcome = self._carry_out("SET", key, value)
        if outcome is None:
            self.ledger.unknown.add(key)
        elif outcome is False:
            self.ledger.refused.add(key)
        else:
            self.ledger.acknowledged[key] = value

    def _increment(self) -> None:
        ledger = self.ledger
        outcome = self._carry_out("INCR", ledger.counter)
        if outcome is None:
            ledger.count_unknown += 1
        elif isinstance(outcome, int) and outcome is not False:
            ledger.counted += 1
            if not ledger.last_count < outcome <= ledger.counted + ledger.count_unknown:
                ledger.complaints.append(
                    f"INCR {ledger.counter} said {outcome} after {ledger.last_count}"
                    f" ({ledger.counted} acknowledged, {ledger.count_unknown} unknown)"
                )
            ledger.last_count = outcome

    def _carry_out(self, *command: str) -> object:
        """The reply; None when the outcome is unknown, False when it certainly did not happen."""
        while not self._stop_asked.is_set():
            try:
                client = self._connected()
            except OSError:
                self._try_another()
                continue
            try:
                return client.call(*command)
            except ErrorReply as error:
                if error.code not in NOTHING_DONE:
                    return None
                self._follow(error)
            except (OSError, ProtocolFault):
                self._try_another()
                return None
        return False

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._nodes[self._target].connect(timeout=10)
        return self._client

    def _follow(self, error: ErrorReply) -> None:
        hint = _HINT.search(str(error))
        if hint:
            for i, node in enumerate(self._nodes):
                if node.port == int(hint[2]) and i != self._target:
                    self._hang_up()
                    self._target = i
                    return
        self._try_another()

    def _try_another(self) -> None:
        self._hang_up()
        self._target = (self._target + 1) % len(self._nodes)
        self._stop_asked.wait(0.005)

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class WriteLoad:
    """Several writers at once: `with WriteLoad(nodes) as load: …`, then `load.check(client)`."""

    def __init__(self, nodes: Sequence[Node], writers: int = 8, prefix: str = "load:") -> None:
        self._stop_asked = threading.Event()
        self.writers = [Writer(nodes, prefix, i, self._stop_asked) for i in range(writers)]

    def __enter__(self) -> WriteLoad:
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop_asked.set()
        for writer in self.writers:
            writer.join(30)

    @property
    def acknowledged(self) -> int:
        return sum(len(w.ledger.acknowledged) + w.ledger.counted for w in self.writers)

    @property
    def unknown(self) -> int:
        return sum(len(w.ledger.unknown) + w.ledger.count_unknown for w in self.writers)

    def wait_acknowledged(self, count: int, timeout: float = 60.0) -> None:
        """Until that many more writes than now are acknowledged."""
        goal = self.acknowledged + count
        deadline = time.monotonic() + timeout
        while self.acknowledged < goal:
            if time.monotonic() > deadline:
                raise AssertionError(f"{goal - self.acknowledged} of {count} writes still not acknowledged")
            time.sleep(0.005)

    def check(self, client: Client) -> list[str]:
        """What is wrong with the data: an empty list when L1, L2 and L3 hold. Raises ErrorReply when the node
        does not say."""
        wrong: list[str] = []
        for writer in self.writers:
            wrong += _check_ledger(writer.ledger, client)
        return wrong

    def keys(self) -> list[str]:
        """All keys that may exist, for cleaning up."""
        return [
            key
            for writer in self.writers
            for key in (*writer.ledger.acknowledged, *writer.ledger.unknown, writer.ledger.counter)
        ]


def _check_ledger(ledger: Ledger, client: Client) -> list[str]:
    wrong = list(ledger.complaints)
    items = list(ledger.acknowledged.items())
    for start in range(0, len(items), _CHUNK):
        chunk = items[start : start + _CHUNK]
        for (key, value), reply in zip(
            chunk, client.pipeline([("GET", key) for key, _ in chunk]), strict=True
        ):
            if isinstance(reply, ErrorReply):
                raise reply
            if reply != value.encode():
                wrong.append(f"{key}: acknowledged {value!r}, found {reply!r}")
    for key in ledger.refused:
        if client.call("EXISTS", key) != 0:
            wrong.append(f"{key}: refused, and there all the same")
    count = client.call("GET", ledger.counter)
    end = int(count) if isinstance(count, bytes) else 0
    if not max(ledger.counted, ledger.last_count) <= end <= ledger.counted + ledger.count_unknown:
        wrong.append(
            f"{ledger.counter}: ended at {end}, with {ledger.counted} acknowledged"
            f" and {ledger.count_unknown} of unknown outcome"
        )
    return wrong
