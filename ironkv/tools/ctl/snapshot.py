"""`ironkv-ctl snapshot`: have snapshots taken now, one node after the other."""

from __future__ import annotations

import argparse
import time

from ironkv.offline import console
from ironkv.tools.access import access
from ironkv.tools.client import Client, ErrorReply, maps

PATIENCE_S = 600.0


def run(options: argparse.Namespace) -> int:
    """One at a time: all at once would slow down the whole cluster at once."""
    way = access(options)
    if not options.all:
        with way.connect(timeout=PATIENCE_S) as client:
            _take(client, f"{way.host}:{way.port}")
        return 0
    with way.connect() as client:
        members = maps(client.call("RAFT", "MEMBERS"))
    for each in members:
        with way.connect(each["host"], each["port"], each["id"], PATIENCE_S) as client:
            _take(client, str(each["id"]))
    return 0


def _take(client: Client, name: str) -> None:
    began = time.monotonic()
    while True:
        try:
            client.call("RAFT", "SNAPSHOT")
            break
        except ErrorReply as error:  # one that began before does not hold all that was asked for
            if "in progress" not in str(error) or time.monotonic() - began > PATIENCE_S:
                raise
        time.sleep(0.2)
    console.out.print(f"{name}: snapshot taken in {time.monotonic() - began:.1f} s", markup=False)
