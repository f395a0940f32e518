"""`ironkv-server`: read the settings, run a node, say plainly why it stopped.

Exit status: 0 stopped as asked, 64 wrong settings (EX_USAGE), 70 a fault (EX_SOFTWARE), 69 a port
cannot be had (EX_UNAVAILABLE).
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from pathlib import Path

import lmdb
import uvloop

from ironkv import logs
from ironkv.config import ConfigError, Settings, load
from ironkv.errors import Fault
from ironkv.node.files import allow_clients
from ironkv.storage.probe import look_first


def main() -> None:
    """Run one node until it is told to stop."""
    try:
        settings = load(sys.argv[1:], os.environ)
    except ConfigError as error:
        print(f"ironkv-server: {error}", file=sys.stderr)
        sys.exit(64)
    logs.begin(settings.log.level, settings.log.format)
    wanted = settings.limits.maxclients
    allowed = allow_clients(wanted)
    if allowed < wanted:
        logging.warning(
            "open files are limited: %d clients at most, limits.maxclients is %d", allowed, wanted
        )
    sys.exit(_serve(settings))


def _serve(settings: Settings) -> int:
    from ironkv.node.node import Node

    # A full collection walks every container of the state and would stop the loop for hundreds of
    # milliseconds. Young garbage is still collected; what this code allocates for long holds no cycles.
    gc.freeze()
    # The journal's thread needs the interpreter for microseconds at a time; by default it would wait
    # up to 5 ms for it, several times per write.
    sys.setswitchinterval(0.0002)
    gc.set_threshold(50_000, 50, 1_000_000)
    try:
        look_first(Path(settings.node.data_dir))
        node = Node(settings)
        uvloop.run(node.run())
    except (Fault, lmdb.Error) as fault:
        logging.critical("%s", fault)
        return 70
    except OSError as error:
        logging.critical("%s", error)
        return 69
    return 0


if __name__ == "__main__":
    main()
