"""django-redis: the cache, sessions in the cache, locks, counters, patterns."""

import sys

import django
from django.conf import settings

settings.configure(
    SECRET_KEY="only for this test",
    CACHES={
        "default": {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": sys.argv[1],
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        }
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

cache.clear()
assert cache.set("k", {"deep": [1, 2.5, "x"]}, timeout=100)
assert cache.get("k") == {"deep": [1, 2.5, "x"]}
assert 0 < cache.ttl("k") <= 100
assert cache.expire("k", timeout=50)
assert cache.persist("k")
assert cache.ttl("k") is None
assert cache.add("k", 1) is False
cache.set("n", 1)
assert (cache.incr("n", 4), cache.decr("n"), cache.get("n")) == (5, 4, 4)
cache.set_many({f"item:{i}": i for i in range(20)}, timeout=60)
assert cache.get_many([f"item:{i}" for i in range(20)]) == {f"item:{i}": i for i in range(20)}
assert sorted(cache.keys("item:1?")) == [f"item:{i}" for i in range(10, 20)]
assert len(list(cache.iter_keys("item:*"))) == 20
assert cache.delete_pattern("item:*") == 20
assert cache.get_or_set("computed", lambda: 42) == 42
assert cache.touch("computed", 10)
assert cache.set("short", 1, timeout=100, nx=True)
assert not cache.set("short", 2, timeout=100, nx=True)
assert cache.incr_version("k") == 2
assert cache.get("k", version=2) == {"deep": [1, 2.5, "x"]}

with cache.lock("lock", timeout=30):
    assert not cache.lock("lock", timeout=30).acquire(blocking=False)
assert cache.lock("lock", timeout=30).acquire(blocking=False)

session = SessionStore()
session["user"] = "ada"
session.set_expiry(300)
session.save()
kept = SessionStore(session.session_key)
assert kept["user"] == "ada"
old_key = kept.session_key
kept.cycle_key()
assert SessionStore(kept.session_key)["user"] == "ada"
assert not SessionStore(old_key).exists(old_key)
kept.delete()
assert "user" not in SessionStore(kept.session_key)

cache.clear()
assert cache.keys("*") == []
