"""The actors that the workers of dramatiq are started with."""

import os

import dramatiq
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.rate_limits import ConcurrentRateLimiter
from dramatiq.rate_limits.backends import RedisBackend as LimiterBackend
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

URL = os.environ["CLIENT_URL"]
broker = RedisBroker(url=URL)
results = RedisBackend(url=URL)
broker.add_middleware(Results(backend=results))
dramatiq.set_broker(broker)
one_at_a_time = ConcurrentRateLimiter(LimiterBackend(url=URL), "one at a time", limit=1)


@dramatiq.actor(store_results=True)
def add(a: int, b: int) -> int:
    return a + b


@dramatiq.actor(store_results=True, max_retries=3, min_backoff=10, max_backoff=50)
def second_try() -> str:
    if redis.from_url(URL).incr("dramatiq:tries") == 1:
        raise ValueError("the first time")
    return "the second time"


@dramatiq.actor(store_results=True, max_retries=20, min_backoff=10, max_backoff=100)
def alone() -> bool:
    with one_at_a_time.acquire():
        return True
