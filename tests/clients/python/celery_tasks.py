"""Celery: a task, a group, a chord, a countdown, a retry, a failure, done by the command `celery worker`."""

import os
import subprocess
import sys
from pathlib import Path

import redis

url = os.environ["CLIENT_URL"] = sys.argv[1]
redis.from_url(url).flushdb()

import celery_app  # noqa: E402  (it reads CLIENT_URL)
from celery import chord, group  # noqa: E402

PATIENCE = 60
command = [str(Path(sys.executable).with_name("celery")), "--workdir", str(Path(__file__).parent)]
command += ["-A", "celery_app", "worker", "--pool", "threads", "--concurrency", "2", "--loglevel", "WARNING"]
worker = subprocess.Popen(command)
try:
    late = celery_app.add.apply_async((1, 1), countdown=1)
    assert celery_app.add.delay(2, 3).get(timeout=PATIENCE) == 5
    assert group(celery_app.add.s(i, i) for i in range(5))().get(timeout=PATIENCE) == [0, 2, 4, 6, 8]
    assert chord(celery_app.add.s(i, 1) for i in range(5))(celery_app.total.s()).get(timeout=PATIENCE) == 15
    assert celery_app.second_try.delay().get(timeout=PATIENCE) == 1
    failure = celery_app.fail.delay().get(timeout=PATIENCE, propagate=False)
    assert repr(failure) == "ValueError('this task always fails')", failure
    assert late.get(timeout=PATIENCE) == 2
    assert celery_app.app.control.ping(timeout=30, limit=1), "the worker does not answer over pub/sub"
finally:
    worker.terminate()
    worker.wait(30)
