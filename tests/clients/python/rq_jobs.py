"""What the workers of RQ are told to do."""

import os

import redis
from rq import get_current_job


def add(a: int, b: int) -> int:
    job = get_current_job()
    job.meta["seen by"] = os.getpid()
    job.save_meta()
    return a + b


def fail() -> None:
    raise ValueError("this job always fails")


def fail_once(url: str) -> str:
    if redis.from_url(url).incr("rq:tries") == 1:
        raise ValueError("the first time")
    return "the second time"
