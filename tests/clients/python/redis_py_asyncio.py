"""redis-py, asyncio: many tasks over one pool, pipelines, a lock, pub/sub, a blocking consumer."""

import asyncio
import sys

import redis.asyncio as redis


async def main(url: str) -> None:
    pool = redis.BlockingConnectionPool.from_url(url, decode_responses=True, max_connections=50, timeout=60)
    async with redis.Redis.from_pool(pool) as r:
        await r.flushdb()
        counts = await asyncio.gather(*(r.incr("counter") for _ in range(300)))
        assert sorted(counts) == list(range(1, 301))

        async with r.pipeline(transaction=True) as pipe:
            replies = await pipe.set("k", "v", ex=100).ttl("k").hset("h", "f", "1").execute()
        assert replies == [True, 100, 1], replies

        inside = 0

        async def enter() -> None:
            nonlocal inside
            async with r.lock("lock", timeout=30, sleep=0.005):
                inside += 1
                assert inside == 1
                await r.incr("entered")
                inside -= 1

        await asyncio.gather(*(enter() for _ in range(20)))
        assert await r.get("entered") == "20"

        async with r.pubsub() as listener:
            await listener.subscribe("async news")
            assert (await listener.get_message(timeout=10))["type"] == "subscribe"
            for i in range(20):
                assert await r.publish("async news", i) == 1
            heard = [(await listener.get_message(timeout=10))["data"] for _ in range(20)]
            assert heard == [str(i) for i in range(20)], heard

        async def consume() -> list[str]:
            return [(await r.blmove("todo", "doing", 30, "LEFT", "RIGHT")) for _ in range(50)]

        consumers = [asyncio.create_task(consume()) for _ in range(4)]
        for i in range(200):
            await r.rpush("todo", i)
        taken = [job for done in await asyncio.gather(*consumers) for job in done]
        assert sorted(map(int, taken)) == list(range(200))
        assert await r.llen("doing") == 200
        assert {key async for key in r.scan_iter("d*")} == {"doing"}


asyncio.run(main(sys.argv[1]))
