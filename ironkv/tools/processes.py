"""Who is this process, is it still the same one, and who holds that port.

A number in a pid file is not a process: pids are used again. So the file holds the moment the process
started as well, and nothing is signalled unless both still agree.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_IS_LINUX = Path("/proc/self/stat").exists()
_TCP_LISTEN = "0A"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was seen alive, told apart from any later one with the same pid."""

    pid: int
    born: str

    @classmethod
    def seen(cls, pid: int) -> Process | None:
        """The process that has this pid now, unless it is gone or a zombie."""
        born = _born(pid)
        return None if born is None else cls(pid, born)

    def is_alive(self) -> bool:
        return _born(self.pid) == self.born

    def send(self, number: signal.Signals) -> bool:
        """Signal this very process; False when it is gone."""
        with contextlib.suppress(ProcessLookupError), _held(self.pid) as descriptor:
            if not self.is_alive():
                return False
            if descriptor is None:
                os.kill(self.pid, number)
            else:
                signal.pidfd_send_signal(descriptor, number)
            return True
        return False

    def wait_gone(self, timeout: float) -> bool:
        """True as soon as it has ended, False when it has not by then."""
        deadline = time.monotonic() + timeout
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def save(self, path: Path) -> None:
        """Write a pid file that is either whole or not there."""
        draft = path.with_name(path.name + ".new")
        draft.write_text(f"{self.pid}\n{self.born}\n")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Process | None:
        """The process a pid file means, if it still runs."""
        try:
            pid, born = path.read_text().splitlines()[:2]
            process = cls(int(pid), born)
        except (OSError, ValueError):
            return None
        return process if process.is_alive() else None


def command_line(pid: int) -> str:
    """The command a process was started with, as well as it can be known."""
    if _IS_LINUX:
        with contextlib.suppress(OSError):
            words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
            return " ".join(w.decode("utf-8", "replace") for w in words if w)
        return ""
    return _output("ps", "-o", "command=", "-p", str(pid))


def port_is_free(host: str, port: int) -> bool:
    """True when a server could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier process that linger in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def port_holder(port: int) -> str:
    """Who listens on a local port: `pid 4711 (redis-server *:6379)`, or why that cannot be said."""
    pids = sorted(set(_listening_pids(port)))
    if pids:
        return ", ".join(f"pid {pid} ({command_line(pid) or 'unknown command'})" for pid in pids)
    return "a process of another user or container (try as root: ss -ltnp)"


@contextlib.contextmanager
def _held(pid: int) -> Iterator[int | None]:
    """A descriptor that keeps the pid from being used again, where the system has such a thing."""
    try:
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError) as error:
        if isinstance(error, ProcessLookupError):
            raise
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _born(pid: int) -> str | None:
    """A string that no later process with this pid will have."""
    if not _IS_LINUX:
        state_and_start = _output("ps", "-o", "state=,lstart=", "-p", str(pid)).split(maxsplit=1)
        if len(state_and_start) < 2 or state_and_start[0].startswith("Z"):
            return None
        return state_and_start[1].strip()
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The command in parentheses may hold blanks and parentheses; the fields behind it do not.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    if state in "ZXx":
        return None
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{start_ticks}"


def _listening_pids(port: int) -> Iterator[int]:
    if not _IS_LINUX:
        for word in _output("lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN").split():
            yield int(word)
        return
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return
    for process in _PROC.iterdir():
        if not process.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in sockets:
                        yield int(process.name)


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for row in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = row.split()
                local, state, inode = fields[1], fields[3], fields[9]
                if state == _TCP_LISTEN and int(local.rpartition(":")[2], 16) == port:
                    yield inode


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
