"""dramatiq: messages at once and delayed, a pipe of actors, a retry, a rate limit; `dramatiq` does them."""

import os
import subprocess
import sys
from pathlib import Path

import redis

url = os.environ["CLIENT_URL"] = sys.argv[1]
redis.from_url(url).flushdb()

import dramatiq_actors as actors  # noqa: E402  (it reads CLIENT_URL)

PATIENCE = 60_000
command = [str(Path(sys.executable).with_name("dramatiq")), "dramatiq_actors"]
command += ["--path", str(Path(__file__).parent), "--processes", "1", "--threads", "3"]
worker = subprocess.Popen(command, env=os.environ)
try:
    late = actors.add.send_with_options(args=(1, 1), delay=500)
    messages = [actors.add.send(i, i) for i in range(20)]
    assert [m.get_result(block=True, timeout=PATIENCE) for m in messages] == [2 * i for i in range(20)]
    pipe = (actors.add.message(1, 2) | actors.add.message(10) | actors.add.message(100)).run()
    assert pipe.get_result(block=True, timeout=PATIENCE) == 113
    assert actors.second_try.send().get_result(block=True, timeout=PATIENCE) == "the second time"
    assert all(m.get_result(block=True, timeout=PATIENCE) for m in [actors.alone.send() for _ in range(3)])
    assert late.get_result(block=True, timeout=PATIENCE) == 2
    actors.broker.join("default", timeout=PATIENCE)
finally:
    worker.terminate()
    worker.wait(30)
