"""Those who change who belongs to the cluster: operators with orders, and nodes that ask to be taken in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ironkv.node.joining import told
from ironkv.raft.configuration import Configuration
from ironkv.tools.client import maps
from tests.node.virtual import Error
from tests.sim.checks import must
from tests.sim.whole.callers import Caller, Request

if TYPE_CHECKING:
    from tests.sim.whole.cluster import Cluster
    from tests.sim.whole.computer import Computer

REFUSALS = ("ERR", "NOTLEADER", "CLUSTERDOWN", "LOADING", "UNKNOWN", "TRYAGAIN")


class Operator(Caller):
    """Gives orders to any node, and not always such as make sense."""

    patience_ms = 1200.0

    def __init__(self, cluster: Cluster, number: int) -> None:
        super().__init__(cluster, f"operator {number}")
        self._seen = 0

    def go_on(self) -> None:
        cluster, chance = self.cluster, self.cluster.chance
        if self.stopped:
            return
        cluster.world.after(chance.expovariate(1 / cluster.order_every), self.go_on)
        running = [each for each in cluster.computers.values() if each.process is not None]
        if self.waiting or not running:
            return
        self.hang_up()
        leaders = cluster.leaders()
        self.order(chance.choice(leaders if leaders and chance.random() < 0.5 else running), self._words())

    def order(self, computer: Computer, words: list[bytes]) -> Request:
        self.connect(computer)
        request = Request([[b"RAFT", *words]], None)
        self._seen = len(self.cluster.checks.configurations) - 1
        self.send([request])
        return request

    def _words(self) -> list[bytes]:
        cluster, chance = self.cluster, self.cluster.chance
        now = cluster.checks.configurations[-1][1]
        what = chance.choice(("ADD", "ADD", "PROMOTE", "REMOVE", "REMOVE", "TRANSFER"))
        if what == "REMOVE" and len(now.voters) <= 3 and chance.random() < 0.8:
            what = "ADD"  # three bear the loss of one: not below that too often
        fitting = {
            "ADD": [name for name in cluster.names if name not in now.everybody],
            "PROMOTE": sorted(now.learners),
            "REMOVE": [name for name in sorted(now.everybody) if cluster.computers[name].dead],
            "TRANSFER": sorted(now.voters),
        }[what]
        name = chance.choice(fitting if fitting and chance.random() < 0.8 else cluster.names)
        if what == "ADD" and cluster.computers[name].process is None and chance.random() < 0.8:
            cluster.computers[name].dead = False
            cluster.start_later(cluster.computers[name], 20)  # it asks for itself
        if what == "ADD":
            return added(cluster, name)
        return (
            [what.encode()]
            if what == "TRANSFER" and chance.random() < 0.3
            else [what.encode(), name.encode()]
        )

    def take(self, request: Request) -> None:
        """OK means that it is so, or was so since the order was given."""
        reply, (_, what, *names) = request.replies[0], request.commands[0]
        self.cluster.tell(f"{self.name} ← {reply!r}")
        if isinstance(reply, Error):
            must(
                str(reply).startswith(REFUSALS) and "internal" not in str(reply),
                f"{self.name} is told {reply}",
            )
            return
        must(reply == b"OK", f"{self.name} is told {reply!r}")
        self.cluster.orders_done += 1
        since = [each for _, each in self.cluster.checks.configurations[self._seen :]]
        ever = [each for _, each in self.cluster.checks.configurations]
        name = names[0].decode() if names else ""
        if what == b"REMOVE":
            must(any(name not in each.everybody for each in since), f"{name} was not removed")
        elif what == b"PROMOTE":
            must(any(name in each.voters for each in ever), f"{name} has no vote")
        elif what == b"ADD":
            must(any(name in each.everybody for each in ever), f"{name} is no member")


class Joiner(Caller):
    """A node with an empty directory before it starts: what `node.joining.join` does over a socket."""

    patience_ms = 1000.0

    def __init__(self, computer: Computer) -> None:
        super().__init__(computer.cluster, f"{computer.name} that joins")
        self._newcomer = computer
        self._asking = 0

    def begin(self) -> None:
        """Ask some node, again and again until one has taken it in."""
        self._asking += 1
        self._ask(self._asking)

    def _ask(self, asking: int) -> None:
        newcomer, chance = self._newcomer, self.cluster.chance
        if asking != self._asking or newcomer.process is not None or newcomer.dead or not newcomer.joins:
            return
        self.cluster.world.after(self.patience_ms + 100, lambda: self._ask(asking))
        running = [each for each in self.cluster.computers.values() if each.process is not None]
        self.hang_up()
        if running:
            self.connect(chance.choice(running))
            self.send([Request([[b"RAFT", *added(self.cluster, newcomer.name)]], None)])

    def _ask_who(self) -> None:
        if self.computer is not None:
            self.send([Request([[b"RAFT", b"MEMBERS"]], None)])

    def take(self, request: Request) -> None:
        reply, newcomer = request.replies[0], self._newcomer
        if isinstance(reply, Error):
            must(str(reply).startswith(REFUSALS), f"{self.name} is told {reply}")
            asking = self._asking
            self.hang_up()
            self.cluster.world.after(self.cluster.chance.uniform(20, 300), lambda: self._ask(asking))
        elif request.commands[0][1] == b"ADD":
            self.cluster.world.after(0.1, self._ask_who)
        else:
            self._asking += 1
            self.hang_up()
            newcomer.told, newcomer.dead = told(maps(reply)), False
            self.cluster.start_later(newcomer, 5)


def added(cluster: Cluster, name: str) -> list[bytes]:
    """The order to add a node; now and then by another address (the network goes by names)."""
    place = cluster.names.index(name) + 100 * (cluster.chance.random() < 0.1)
    return [b"ADD", name.encode(), b"10.0.0.1", b"%d" % (7000 + place), b"%d" % (8000 + place)]


def step(before: Configuration, after: Configuration) -> bool:
    """Whether one committed configuration may follow on another (§6)."""
    if before.joint:
        return not after.joint and after.voters == before.voters
    return after.outgoing == (before.voters if after.voters != before.voters else frozenset())
