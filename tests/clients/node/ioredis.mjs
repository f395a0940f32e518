// ioredis: its ready check on INFO, pipelines, MULTI, custom Lua commands, scan streams, pub/sub, blocking.
import assert from "node:assert/strict";
import Redis from "ioredis";

const url = process.argv[2];
const redis = new Redis(url);
await redis.flushdb();

const results = await redis.pipeline().set("k", "v").get("k").lpush("k", 1).hset("h", { a: 1, b: 2 }).exec();
assert.deepEqual([results[0], results[1], results[3]], [[null, "OK"], [null, "v"], [null, 2]]);
assert.match(results[2][0].message, /^WRONGTYPE/);
assert.deepEqual(await redis.multi().incr("n").incrby("n", 5).hgetall("h").exec(),
  [[null, 1], [null, 6], [null, { a: "1", b: "2" }]]);

redis.defineCommand("addTo", { numberOfKeys: 1, lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])" });
assert.deepEqual([await redis.addTo("n", 4), await redis.addTo("n", 10)], [10, 20]);

await redis.mset(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`many:${i}`, i])));
const seen = new Set();
for await (const keys of redis.scanStream({ match: "many:*", count: 50 })) keys.forEach((key) => seen.add(key));
assert.equal(seen.size, 500);

const listener = redis.duplicate();
const heard = new Promise((resolve) => listener.on("message", (channel, message) => resolve([channel, message])));
await listener.subscribe("ioredis news");
assert.equal(await redis.publish("ioredis news", "hello"), 1);
assert.deepEqual(await heard, ["ioredis news", "hello"]);

const waiter = redis.duplicate();
const popped = waiter.blpop("queue", 30);
await redis.rpush("queue", "job");
assert.deepEqual(await popped, ["queue", "job"]);

await redis.zadd("board", 10, "ada", 30, "bob", 20, "eve");
assert.deepEqual(await redis.zrevrange("board", 0, 1, "WITHSCORES"), ["bob", "30", "eve", "20"]);
const id = await redis.xadd("stream", "*", "field", "value");
assert.deepEqual(await redis.xrange("stream", "-", "+"), [[id, ["field", "value"]]]);
const bytes = Buffer.from([0, 255, 13, 10]);
await redis.set("bytes", bytes);
assert.deepEqual(await redis.getBuffer("bytes"), bytes);

for (const connection of [waiter, listener, redis]) await connection.quit();
