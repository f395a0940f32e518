"""LATENCY: what took long, when; and how long the calls of each command take."""

from __future__ import annotations

from collections import deque
from typing import Final

from ironkv.commands.help_texts import help_of
from ironkv.commands.session import Session
from ironkv.commands.table import Args, Command, Route, command, every
from ironkv.errors import CommandError
from ironkv.resp.replies import Reply, Verbatim

SAMPLES: Final = 160
"""Kept of each event (latency.h)."""
EVENTS: Final = {
    "aof-fsync-always": "a write of the journal, flush included. Every write waits for it: look at the disk",
    "command": "a command that has more to do the more it is given. SLOWLOG names it",
    "commit": "a batch of writes until a majority had it. Look at the other nodes' disks and at the network",
    "event-loop": "the loop was late: a long command, a snapshot's slice, or a machine that has no time",
    "fast-command": "a command that does little: the machine had no time, or its value is very large",
}
"""What is watched, and what it means."""

HELP: Final = help_of(
    "LATENCY",
    """
DOCTOR
    Return a human readable latency analysis report.
GRAPH <event>
    Return an ASCII latency graph for the <event> class.
HISTORY <event>
    Return time-latency samples for the <event> class.
LATEST
    Return the latest latency samples for all events.
RESET [<event> ...]
    Reset latency data of one or more <event> classes.
    (default: reset all data for all event classes)
HISTOGRAM [COMMAND ...]
    Return a cumulative distribution of latencies in the format of a histogram for the specified command
    names. If no commands are specified then all histograms are replied.
""",
)


class Event:
    """The spikes of one kind: at most one a second is kept, the worst."""

    def __init__(self) -> None:
        self.samples: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        """(Unix time, milliseconds), oldest first."""
        self.worst_ms = 0

    def note(self, at_s: int, ms: int) -> None:
        self.worst_ms = max(self.worst_ms, ms)
        if self.samples and self.samples[-1][0] == at_s:
            ms = max(ms, self.samples.pop()[1])
        self.samples.append((at_s, ms))


class Latencies:
    """Events by name. Nothing is noted while `least_ms` is 0 (`latency.monitor_threshold_ms`)."""

    def __init__(self) -> None:
        self.least_ms = 0
        self.events: dict[str, Event] = {}

    def note(self, event: str, ms: float, at_s: float) -> None:
        """Something took `ms`."""
        if self.least_ms and ms >= self.least_ms:
            self.events.setdefault(event, Event()).note(int(at_s), int(ms))


@command(
    "LATENCY",
    -2,
    Route.LOCAL,
    "",
    group="server",
    since="2.8.13",
    complexity="Depends on subcommand.",
    summary="A container for latency diagnostics commands.",
)
def latency(session: Session, args: Args) -> Reply:
    """LATENCY subcommand ...: never called, the table finds the subcommand or refuses."""
    raise AssertionError("a container has no handler")


@command(
    "LATENCY|LATEST",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.8.13",
    complexity="O(1)",
    summary="Returns the latest latency samples for all events.",
)
def latency_latest(session: Session, args: Args) -> Reply:
    """LATENCY LATEST: event, Unix time, milliseconds, the worst ever."""
    events = session.node.latencies.events
    return [[name.encode(), *event.samples[-1], event.worst_ms] for name, event in sorted(events.items())]


@command(
    "LATENCY|HISTORY",
    3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.8.13",
    complexity="O(1)",
    summary="Returns timestamp-latency samples for an event.",
)
def latency_history(session: Session, args: Args) -> Reply:
    """LATENCY HISTORY event"""
    event = session.node.latencies.events.get(_text(args[2]))
    return [list(sample) for sample in event.samples] if event is not None else []


@command(
    "LATENCY|RESET",
    -2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.8.13",
    complexity="O(1)",
    summary="Resets the latency data for one or more events.",
)
def latency_reset(session: Session, args: Args) -> Reply:
    """LATENCY RESET [event ...]: how many were reset."""
    events = session.node.latencies.events
    names = [_text(arg) for arg in args[2:]] or list(events)
    return sum(events.pop(name, None) is not None for name in names)


@command(
    "LATENCY|GRAPH",
    3,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.8.13",
    complexity="O(1)",
    summary="Returns a latency graph for an event.",
)
def latency_graph(session: Session, args: Args) -> Reply:
    """LATENCY GRAPH event: one column per sample, the highest full."""
    event = session.node.latencies.events.get(_text(args[2]))
    if event is None:
        raise CommandError(f"ERR No samples available for event '{_text(args[2])}'")
    return Verbatim(_graph(_text(args[2]), event, session.node.clock_us() // 1_000_000).encode())


def _graph(name: str, event: Event, now_s: int) -> str:
    samples = list(event.samples)[-80:]
    low, high = min(ms for _, ms in samples), max(ms for _, ms in samples)
    steps = [1 + 7 * (ms - low) // max(high - low, 1) for _, ms in samples]
    title = f"{name} - high {high} ms, low {low} ms (all time high {event.worst_ms} ms)"
    rows = ["".join("#" if step >= row else " " for step in steps).rstrip() for row in range(8, 0, -1)]
    ages = [_age(now_s - at_s) for at_s, _ in samples]
    under = [
        "".join(age[place] if place < len(age) else " " for age in ages).rstrip()
        for place in range(max(map(len, ages)))
    ]
    return "\n".join([title, "-" * 80, *rows, "", *under, ""])


def _age(seconds: int) -> str:
    for unit, letter in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= unit:
            return f"{seconds // unit}{letter}"
    return f"{max(seconds, 0)}s"


@command(
    "LATENCY|DOCTOR",
    2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="2.8.13",
    complexity="O(1)",
    summary="Returns a human-readable latency analysis report.",
)
def latency_doctor(session: Session, args: Args) -> Reply:
    """LATENCY DOCTOR: what was slow, and where to look."""
    node = session.node
    least_ms, events = node.latencies.least_ms, node.latencies.events
    if not least_ms:
        text = (
            "Latency is not watched. CONFIG SET latency-monitor-threshold <milliseconds> notes all that "
            "takes longer."
        )
    elif not events:
        text = f"Nothing has taken {least_ms} ms or longer since latency is watched."
    else:
        text = "\n".join(_diagnosis(name, event) for name, event in sorted(events.items()))
    return Verbatim(f"{text}\n".encode())


def _diagnosis(name: str, event: Event) -> str:
    spikes = [ms for _, ms in event.samples]
    mean = sum(spikes) / len(spikes)
    return (
        f"{name}: {len(spikes)} spikes, {mean:.0f} ms on average, {event.worst_ms} ms at worst.\n"
        f"  It is {EVENTS[name]}."
    )


@command(
    "LATENCY|HISTOGRAM",
    -2,
    Route.LOCAL,
    "admin noscript loading stale",
    group="server",
    since="7.0.0",
    complexity="O(N) where N is the number of commands with latency information being retrieved.",
    summary="Returns the cumulative distribution of latencies of a subset or all commands.",
)
def latency_histogram(session: Session, args: Args) -> Reply:
    """LATENCY HISTOGRAM [command ...]: calls, and how many took up to so many microseconds."""
    names = {_text(arg).lower() for arg in args[2:]}

    def wanted(row: Command) -> bool:
        return not names or row.lower_name in names or row.lower_name.partition("|")[0] in names

    return {
        row.lower_name.encode(): _distribution(row) for row in every() if row.usage.counts and wanted(row)
    }


def _distribution(row: Command) -> Reply:
    spread: dict[Reply, Reply] = {most + 1: count for most, count in row.usage.doublings()}
    return {b"calls": row.usage.count, b"histogram_usec": spread}


@command(
    "LATENCY|HELP",
    2,
    Route.LOCAL,
    "loading stale",
    group="server",
    since="2.8.13",
    complexity="O(1)",
    summary="Returns helpful text about the different subcommands.",
)
def latency_help(session: Session, args: Args) -> Reply:
    """LATENCY HELP"""
    return HELP


def _text(arg: bytes) -> str:
    return arg.decode("utf-8", "surrogateescape")
