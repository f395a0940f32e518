"""A busy leader keeps its followers; a leader that is gone, or stuck for good, does not."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Iterator
from random import Random

import pytest

from ironkv.peers import wire
from ironkv.peers.pulse import Pulse
from ironkv.raft.config import HardState, RaftConfig
from ironkv.raft.core import RaftCore
from ironkv.raft.messages import Append, Entry, PreVote, Role


class NoJournal:
    first_index = 1
    last_index = 0

    def term(self, index: int) -> int:
        return 0

    def entries(self, low: int, high: int, most_bytes: int) -> list[Entry]:
        raise AssertionError("nothing is stored")


def follower_of(leader: str, term: int) -> RaftCore:
    core = RaftCore(RaftConfig("n1", frozenset({"n1", "n2", "n3"})), HardState(), NoJournal(), Random(1), 0.0)
    core.step(Append(leader, "n1", term, 0, 0, 0, 1, ()), 0.0)
    return core


def asks_for_votes(core: RaftCore, until: float) -> bool:
    asked = False
    now = 0.0
    while now < until:
        now += 10
        core.tick(now)
        while (ready := core.ready(now)) is not None:
            asked |= any(isinstance(message, PreVote) for message in ready.messages)
            if ready.persist is not None:
                core.persisted(ready.persist.mark, now)
    return asked


def test_a_pulse_keeps_a_follower_loyal() -> None:
    core = follower_of("n2", 5)
    for now in range(100, 3000, 100):
        core.pulse("n2", 5, float(now))
        core.tick(float(now))
    assert core.leader == "n2"
    assert core.role is Role.FOLLOWER
    ready = core.ready(3000.0)
    assert ready is None or not any(isinstance(message, PreVote) for message in ready.messages)


@pytest.mark.parametrize(("sender", "term"), [("n3", 5), ("n2", 4), ("n2", 6)])
def test_only_the_leader_of_this_term_pulses(sender: str, term: int) -> None:
    silent, pulsed = follower_of("n2", 5), follower_of("n2", 5)
    for now in range(0, 200, 10):
        pulsed.pulse(sender, term, float(now))
    assert pulsed.next_wakeup() == silent.next_wakeup()
    assert asks_for_votes(pulsed, 700.0)


@pytest.fixture
def ear() -> Iterator[tuple[tuple[str, int], queue.SimpleQueue[bytes]]]:
    """A peer's port, and what is said on it."""
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            frames = wire.Frames(1 << 20)
            frames.trust()
            with connection:
                while data := connection.recv(4096):
                    for body in frames.feed(data):
                        heard.put(body)
            heard.put(b"")

        thread = threading.Thread(target=listen)
        thread.start()
        yield server.getsockname(), heard
        server.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def test_it_speaks_only_while_the_loop_of_a_leader_is_silent(
    ear: tuple[tuple[str, int], queue.SimpleQueue[bytes]],
) -> None:
    address, heard = ear
    looks = iter([(7, 0.0)] * 3 + [(7, 0.3)] * 2 + [(7, 9.0)] * 3 + [(0, 0.3)] * 1000)

    def introduce(sock: socket.socket, peer: str) -> socket.socket:
        sock.sendall(wire.hello("c", "n2"))
        return sock

    pulse = Pulse(introduce, lambda: {"n1": address}, lambda: next(looks), after_s=0.1, limit_s=5.0)
    pulse.start()
    said = []
    while body := heard.get(timeout=20):
        said.append(wire.parse(body, "n2", "n1"))
    pulse.stop()
    assert said == [wire.Hello(wire.VERSION, "c", "n2", 0), wire.Pulse(7), wire.Pulse(7)]
