"""redis-py, synchronous: its default RESP3, pipelines, transactions, locks, scripts, streams, pub/sub."""

import sys
import threading

import redis


def transactions(r: redis.Redis) -> None:
    """The optimistic transfer of the documentation: four threads, no cent lost."""
    r.mset({"account:a": 100, "account:b": 0})

    def transfer(pipe: redis.client.Pipeline) -> None:
        left, right = int(pipe.get("account:a")), int(pipe.get("account:b"))
        pipe.multi()
        pipe.set("account:a", left - 1)
        pipe.set("account:b", right + 1)

    def run() -> None:
        for _ in range(10):
            r.transaction(transfer, "account:a", "account:b")

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = r.mget("account:a", "account:b")
    assert left == ["60", "40"], left


def pipelines(r: redis.Redis) -> None:
    with r.pipeline(transaction=False) as pipe:
        for i in range(1_000):
            pipe.rpush("list", i)
        assert pipe.execute() == list(range(1, 1_001))
    with r.pipeline() as pipe:
        pipe.hset("hash", mapping={"a": 1, "b": 2}).hgetall("hash").zadd("z", {"m": 1.5}).incr("hash")
        *replies, fault = pipe.execute(raise_on_error=False)
        assert replies == [2, {"a": "1", "b": "2"}, 1], replies
        assert isinstance(fault, redis.ResponseError), fault
    assert r.zrange("z", 0, -1, withscores=True) == [["m", 1.5]]
    assert sorted(r.scan_iter("account:*")) == ["account:a", "account:b"]


def locks(r: redis.Redis) -> None:
    lock = r.lock("lock", timeout=30)
    assert lock.acquire(blocking=False)
    assert not r.lock("lock", timeout=30).acquire(blocking=False)
    assert lock.extend(10, replace_ttl=True)
    assert 0 < r.pttl("lock") <= 10_000
    lock.release()
    counted = {"inside": 0, "all": 0}

    def enter() -> None:
        for _ in range(5):
            with r.lock("lock", timeout=30, sleep=0.005):
                counted["inside"] += 1
                assert counted["inside"] == 1
                counted["all"] += 1
                counted["inside"] -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted["all"] == 20
    try:
        lock.release()
    except redis.exceptions.LockError:
        return
    raise AssertionError("a lock that is not held was released")


def publishing(r: redis.Redis) -> None:
    with r.pubsub() as listener:
        listener.subscribe("news")
        listener.psubscribe("wea*")
        assert [listener.get_message(timeout=10)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
        assert r.publish("news", "one") == 1
        assert r.publish("weather", "two") == 1
        assert [listener.get_message(timeout=10)["data"] for _ in range(2)] == ["one", "two"]
        assert r.pubsub_numsub("news") == [("news", 1)]


def streams(r: redis.Redis) -> None:
    ids = [r.xadd("stream", {"n": i}) for i in range(5)]
    assert r.xgroup_create("stream", "group", "0")
    read = r.xreadgroup("group", "me", {"stream": ">"}, count=3)
    assert [i for i, _ in read["stream"][0]] == ids[:3], read
    assert r.xack("stream", "group", ids[0]) == 1
    assert r.xpending("stream", "group")["pending"] == 2
    claimed = r.xautoclaim("stream", "group", "you", 0)
    assert [i for i, _ in claimed[1]] == ids[1:3], claimed
    assert r.xinfo_stream("stream")["length"] == 5


def scripts(r: redis.Redis) -> None:
    add = r.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1]) + cjson.decode('[7]')[1]")
    assert add(keys=["counter"], args=[5]) == 12
    assert r.script_exists(add.sha) == [True]


def monitoring(r: redis.Redis) -> None:
    with r.monitor() as shown:
        r.set("watched", 1)
        assert any("watched" in shown.next_command()["command"] for _ in range(1_000))


def blocking(r: redis.Redis) -> None:
    threading.Thread(target=lambda: r.lpush("queue", "job")).start()
    assert list(r.blpop(["queue"], timeout=30)) == ["queue", "job"]
    assert r.blpop(["queue"], timeout=0.05) is None


url = sys.argv[1]
for protocol in (3, 2):
    r = redis.from_url(url, decode_responses=True, protocol=protocol, client_name="redis-py")
    r.flushdb()
    assert r.client_info()["resp"] == str(protocol), r.client_info()
    parts = [transactions, pipelines, locks, publishing, streams, scripts, monitoring, blocking]
    for part in parts if protocol == 3 else [transactions, locks, scripts, blocking]:
        part(r)
    info = r.info()
    assert info["role"] == "master", info["role"]
    assert int(info["redis_version"].split(".")[0]) >= 7
    r.close()
