"""How bad the weather is in one run, and what befalls the machines."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ironkv.errors import NotAvailable

if TYPE_CHECKING:
    from tests.sim.whole.cluster import Cluster
    from tests.sim.whole.computer import Computer


@dataclass(frozen=True, slots=True)
class Weather:
    """Rates are probabilities per frame or per write; times are milliseconds."""

    loss: float = 0
    repeat: float = 0
    delay: float = 0.5
    late: float = 0
    """How many frames arrive much later, when everything has changed."""
    late_by: float = 0
    slow_disk: float = 0
    slow_by: float = 0
    drift: float = 0
    """Steady clocks run at rates within 1 ± drift; the lease is built for 0.11 (raft.reads)."""
    clocks_off: float = 0
    """How far (ms) wall clocks are off, or jump."""
    trouble_every: float = float("inf")
    """Between two events like a crash, a cut, a pause."""
    troubles: tuple[str, ...] = ()

    def wall_off(self, chance: random.Random) -> float:
        return chance.uniform(-self.clocks_off, self.clocks_off)


CALM = Weather()


def draw(chance: random.Random) -> Weather:
    """Mild in one way and wild in another: much of everything hides what only one kind brings out."""
    picked = tuple(name for name in TROUBLES if chance.random() < 0.5)
    return Weather(
        loss=chance.choice((0, 0, 0.01, 0.1)),
        repeat=chance.choice((0, 0.02, 0.1)),
        delay=chance.choice((0.3, 1, 5, 20, 60)),
        late=chance.choice((0, 0.005, 0.03)),
        late_by=chance.choice((100, 500, 1500)),
        slow_disk=chance.choice((0, 0.02, 0.2)),
        slow_by=chance.choice((20, 200, 900)),
        drift=chance.choice((0, 0, 0.05, 0.1)),
        clocks_off=chance.choice((0, 0, 5_000, 400_000_000)),
        trouble_every=chance.choice((80, 200, 500)),
        troubles=picked or tuple(TROUBLES),
    )


def crash(cluster: Cluster, computer: Computer) -> None:
    if computer.process is not None:
        computer.crash()
        cluster.start_later(computer, 150)


def blink(cluster: Cluster, computer: Computer) -> None:
    """A process that is back before anybody notices: has it kept its promises?"""
    if computer.process is not None:
        computer.crash()
        cluster.start_later(computer, 15)


def outage(cluster: Cluster, computer: Computer) -> None:
    """All at once, as when the power goes."""
    for each in cluster.computers.values():
        crash(cluster, each)


def orderly(cluster: Cluster, computer: Computer) -> None:
    computer.stop()
    cluster.start_later(computer, 50)


def in_a_commit(cluster: Cluster, computer: Computer) -> None:
    """The power fails in the middle of one of the next commits, of whichever environment."""
    computer.disk.cut_in = cluster.chance.choice((1, 1, 2, 3, 5, 8))
    computer.disk.cut_lands = cluster.chance.random() < 0.5


def failing_commit(cluster: Cluster, computer: Computer) -> None:
    """A commit reports an error; whether it is on the disk nobody can tell."""
    computer.disk.fail = True
    computer.disk.fail_lands = cluster.chance.random() < 0.3


def full_disk(cluster: Cluster, computer: Computer) -> None:
    cluster.tell(f"the disk of {computer.name} is full")
    disk = computer.disk
    disk.full = True

    def room() -> None:
        disk.full = False

    cluster.world.after(cluster.chance.uniform(50, 1500), room)


def stall(cluster: Cluster, computer: Computer) -> None:
    cluster.tell(f"the disk of {computer.name} stalls")
    computer.disk_slow_until = cluster.world.now + cluster.chance.uniform(0, 2000)


def rot(cluster: Cluster, computer: Computer) -> None:
    """A record of a stopped node is damaged: the node must say so, and is then replaced by an empty one."""
    if not cluster.may_lose_a_disk(computer):
        return
    computer.crash()
    tables = [
        computer.disk.table(environment, name)
        for environment, name in (
            ("journal", b"entries"),
            ("journal", b"node"),
            ("snapshots", b"images"),
            ("snapshots", b"manifests"),
        )
    ]
    chance = cluster.chance
    damaged = computer.disk.damage(chance, chance.choice([table for table in tables if table.keys] or tables))
    if not damaged:
        cluster.start_later(computer, 100)
        return
    cluster.damaged += 1
    cluster.tell(f"a record on the disk of {computer.name} is damaged")

    disk = computer.disk

    def found_out() -> None:
        if computer.disk is not disk:
            return
        computer.start()
        # Not every record is read at a start: an operator replaces the disk all the same.
        computer.crash()
        computer.replace_disk()
        cluster.start_later(computer, 100)

    cluster.world.after(chance.expovariate(1 / 60), found_out)


def wipe(cluster: Cluster, computer: Computer) -> None:
    """A disk is lost, or only the journal on it: at most one at a time, and not before the last one has been
    made up for."""
    if cluster.may_lose_a_disk(computer):
        cluster.wiped += 1
        if computer.life % 3 or computer.beyond_help or computer.disk.damaged:
            computer.replace_disk()
        else:
            computer.lose_journal()
        cluster.start_later(computer, 100)


def cut(cluster: Cluster, computer: Computer) -> None:
    side = cluster.chance.sample(cluster.names, cluster.chance.randint(1, len(cluster.names) // 2))
    cluster.tell(f"cut off: {side}")
    for a in side:
        for b in cluster.names:
            if b not in side:
                cluster.cuts |= {(a, b), (b, a)}


def one_way(cluster: Cluster, computer: Computer) -> None:
    other = cluster.chance.choice(cluster.names)
    pair = cluster.chance.choice(((computer.name, other), (other, computer.name)))
    cluster.tell(f"cut one way: {pair}")
    cluster.cuts.add(pair)


def bridge(cluster: Cluster, computer: Computer) -> None:
    """Two halves that see each other only through one node."""
    others = [name for name in cluster.names if name != computer.name]
    half = len(others) // 2
    cluster.tell(f"only {computer.name} sees all")
    for a in others[:half]:
        for b in others[half:]:
            cluster.cuts |= {(a, b), (b, a)}


def deaf(cluster: Cluster, computer: Computer) -> None:
    """One follower no longer hears the leader, and will want to replace it."""
    for leader in cluster.leaders():
        if leader is not computer:
            cluster.tell(f"{computer.name} does not hear {leader.name}")
            cluster.cuts.add((leader.name, computer.name))


def mute(cluster: Cluster, computer: Computer) -> None:
    """Nobody hears the leader any more, but it hears the others."""
    for leader in cluster.leaders():
        cluster.tell(f"nobody hears {leader.name}")
        cluster.cuts |= {(leader.name, name) for name in cluster.names if name != leader.name}


def heal(cluster: Cluster, computer: Computer) -> None:
    cluster.tell("the network heals")
    cluster.cuts.clear()


def pause(cluster: Cluster, computer: Computer) -> None:
    if computer.running:
        computer.pause()
        life = computer.life

        def go_on() -> None:
            if computer.life == life:
                computer.resume()

        cluster.world.after(cluster.chance.expovariate(1 / cluster.chance.choice((60, 300, 1000))), go_on)


def flap(cluster: Cluster, computer: Computer) -> None:
    """A connection breaks and comes back, on one side only."""
    peer = cluster.chance.choice(cluster.names)
    if peer != computer.name:
        cluster.connection(computer, peer, up=False)
        computer.later(
            cluster.chance.expovariate(1 / 50), lambda: cluster.connection(computer, peer, up=True)
        )


def transfer(cluster: Cluster, computer: Computer) -> None:
    """Leadership is handed over, to whoever it may be."""
    for leader in cluster.leaders():
        target = cluster.chance.choice((None, *(name for name in cluster.names if name != leader.name)))

        def hand_over(leader: Computer = leader, target: str | None = target) -> None:
            assert leader.process is not None
            driver = leader.process.driver
            cluster.tell(f"{leader.name} is asked to hand over to {target}")
            try:
                driver.core.transfer(target, leader.steady_ms())
            except NotAvailable:
                return
            driver.turn()

        leader.do(hand_over)


def clock_jump(cluster: Cluster, computer: Computer) -> None:
    """The wall clock of one machine is set, an hour or a year off."""
    computer.wall_off_ms = cluster.chance.choice((-1, 1)) * cluster.chance.choice((900, 3_600_000, 3.2e10))
    cluster.clocks_jumped = True
    cluster.tell(f"the clock of {computer.name} is set {computer.wall_off_ms:+.0f} ms off")


def die(cluster: Cluster, computer: Computer) -> None:
    """A node that nobody starts again, unless it is added anew; one at a time."""
    if not any(each.dead for each in cluster.computers.values()):
        computer.crash()
        computer.dead = True
        cluster.tell(f"{computer.name} is dead")


def back(cluster: Cluster, computer: Computer) -> None:
    """One that was dead comes back, and may not know that it was removed."""
    for each in cluster.computers.values():
        if each.dead:
            each.dead = False
            if each.life:
                each.start()


def recruit(cluster: Cluster, computer: Computer) -> None:
    """One more computer asks to be taken in."""
    new = [
        each for each in cluster.computers.values() if each.process is None and each.joins and not each.dead
    ]
    if new:
        cluster.chance.choice(new).start()


OF_MEMBERS = {"die": die, "back": back, "recruit": recruit}
"""Where members change."""

TROUBLES = {
    "crash": crash,
    "blink": blink,
    "outage": outage,
    "orderly": orderly,
    "in a commit": in_a_commit,
    "failing commit": failing_commit,
    "full disk": full_disk,
    "stall": stall,
    "rot": rot,
    "wipe": wipe,
    "cut": cut,
    "one way": one_way,
    "bridge": bridge,
    "deaf": deaf,
    "mute": mute,
    "heal": heal,
    "pause": pause,
    "flap": flap,
    "transfer": transfer,
    "clock jump": clock_jump,
}
