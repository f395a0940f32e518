"""Clients that mean no harm, in a process of their own: what they wait while others misbehave.

    python -m ironkv.tools.bench.bystander PORT

Each line `begin` on its input starts a measurement and `end` closes it with one line of JSON on its output.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from ironkv.tools.client import encode
from ironkv.tools.cluster import surroundings

CLIENTS: Final = 8
PAUSE_S: Final = 0.005
"""Between a reply and the next command: they ask, they do not push."""
VALUE: Final = "x" * 64


@dataclass(frozen=True, slots=True)
class Waits:
    """What commands of bystanders took, in milliseconds."""

    count: int
    p50: float
    p99: float
    worst: float
    errors: int


class Bystanders:
    """The process, from outside."""

    def __init__(self, port: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ironkv.tools.bench.bystander", str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=surroundings(),
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self) -> None:
        self._tell("begin")

    def end(self) -> Waits:
        self._tell("end")
        assert self._process.stdout is not None
        return Waits(**json.loads(self._process.stdout.readline()))

    def over(self, seconds: float) -> Waits:
        """What they wait in so many seconds."""
        self.begin()
        time.sleep(seconds)
        return self.end()

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        print(word, file=self._process.stdin, flush=True)


class _Bystander:
    def __init__(self) -> None:
        self.took: list[float] = []
        self.errors = 0

    async def ask(self, port: int, number: int) -> None:
        key = f"bystander:{number}"
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                while True:
                    for command, reply in (
                        (encode(("SET", key, VALUE)), b"+OK\r\n"),
                        (encode(("GET", key)), b"$%d\r\n%b\r\n" % (len(VALUE), VALUE.encode())),
                    ):
                        began = time.perf_counter()
                        writer.write(command)
                        if await reader.readexactly(len(reply)) != reply:
                            raise OSError("another reply")
                        self.took.append(1000 * (time.perf_counter() - began))
                        await asyncio.sleep(PAUSE_S)
            except (OSError, EOFError):
                self.errors += 1
                await asyncio.sleep(0.1)

    async def listen(self) -> None:
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
        )
        while word := (await lines.readline()).strip():
            if word == b"end":
                took = sorted(self.took) or [0.0]
                waits = {
                    "count": len(self.took), "p50": took[len(took) // 2], "p99": took[int(0.99 * len(took))],
                    "worst": took[-1], "errors": self.errors,
                }  # fmt: skip
                print(json.dumps(waits), flush=True)
            self.took, self.errors = [], 0


async def _main(port: int) -> None:
    bystander = _Bystander()
    asking = [asyncio.create_task(bystander.ask(port, number)) for number in range(CLIENTS)]
    await bystander.listen()
    for task in asking:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
