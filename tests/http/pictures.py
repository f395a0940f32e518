"""Takes the console's pictures for the documentation: python -m tests.http.pictures (writes docs/images)."""

from __future__ import annotations

import random
import sys
import threading
import time
from pathlib import Path

from ironkv.tools.client import Client, ErrorReply
from ironkv.tools.cluster import ThrowawayCluster
from tests.http.chromium import Page

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def shop(cluster: ThrowawayCluster, stop: threading.Event) -> None:
    """A load that looks like somebody's."""
    pick = random.Random(7)
    while not stop.is_set():
        try:
            with cluster.wait_for_leader().connect() as client:
                while not stop.is_set():
                    _requests(client, pick)
                    time.sleep(0.01 + 0.004 * abs(time.time() % 20 - 10))
        except (OSError, ErrorReply):
            time.sleep(0.1)


def _requests(client: Client, pick: random.Random) -> None:
    customer = int(pick.paretovariate(1.1)) % 500
    client.pipeline([["GET", f"session:{int(pick.paretovariate(0.9)) % 900}"] for _ in range(60)])
    client.pipeline(
        [
            ["SET", f"session:{pick.randrange(900)}", "x" * pick.randrange(40, 300), "EX", "1800"],
            ["HSET", f"cart:{customer}", f"item {pick.randrange(80)}", str(pick.randrange(9))],
            ["ZINCRBY", "bestsellers", "1", f"book {int(pick.paretovariate(1)) % 3000}"],
            ["LPUSH", "orders", f"order {pick.randrange(10**6)} by customer {customer}"],
            ["XADD", "visits", "MAXLEN", "~", "500", "*", "page", f"/books/{customer}"],
        ]
    )
    if pick.random() < 0.01:
        client.call("ZRANGE", "bestsellers", 0, -1, "WITHSCORES")
        client.call("EVAL", "local n = 0 for i = 1, 2000000 do n = n + i end return n", 0)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60
    IMAGES.mkdir(exist_ok=True)
    settings = {
        "http": {"enabled": True, "token": "x"},
        "cluster": {"name": "bookshop"},
        "snapshot": {"entries": 2_000},
        "slowlog": {"log_slower_than": 4_000},
    }
    stop = threading.Event()
    with ThrowawayCluster(settings=settings) as cluster:
        load = threading.Thread(target=shop, args=(cluster, stop))
        load.start()
        try:
            time.sleep(seconds)
            leader = cluster.wait_for_leader()
            leader.kill()
            watched = cluster.wait_for_leader(other_than=leader)
            time.sleep(seconds / 4)
            leader.start()
            time.sleep(seconds / 4)
            _take(f"http://127.0.0.1:{watched.settings.http_port}/")
        finally:
            stop.set()
            load.join()


def _take(url: str) -> None:
    for name, width, height, dark, phone in (
        ("console-light", 1240, 900, False, False),
        ("console-dark", 1240, 900, True, False),
        ("console-phone", 390, 844, False, True),
    ):
        with Page(width, height, dark=dark, phone=phone) as page:
            page.open(url)
            page.wait("document.readyState === 'complete' && !document.getElementById('login').hidden")
            page.look("document.getElementById('token').value = 'x'")
            page.look("document.querySelector('#login button').click()")
            page.wait("document.querySelectorAll('#keys tbody tr').length > 5")
            page.wait("document.querySelectorAll('#biggest tbody tr').length > 5")
            page.look("[...document.querySelectorAll('#biggest button')].at(1).click()")
            page.wait("document.querySelector('#value table') !== null")
            page.look("scrollTo(0, 0)")
            time.sleep(3)
            page.resize(width, 1500 if phone else 1180, phone=phone)
            time.sleep(2)
            page.look("scrollTo(0, 0)")
            page.picture(IMAGES / f"{name}.png")
            if name == "console-light":
                page.resize(width, 780)
                page.look("document.getElementById('browser').scrollIntoView({block: 'end'})")
                time.sleep(1)
                page.picture(IMAGES / "console-keys.png")


if __name__ == "__main__":
    main()
