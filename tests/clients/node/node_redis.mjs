// node-redis, which speaks RESP3: pipelines by themselves, MULTI with WATCH, scripts, iterators, a pool, streams, pub/sub.
import assert from "node:assert/strict";
import { createClient, createClientPool, defineScript, WatchError } from "redis";

const url = process.argv[2];
const add = defineScript({
  NUMBER_OF_KEYS: 1,
  SCRIPT: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
  parseCommand(parser, key, by) {
    parser.pushKey(key);
    parser.push(String(by));
  },
  transformReply: (reply) => reply,
});
const client = await createClient({ url, RESP: 3, scripts: { add } }).connect();
await client.flushDb();

const counts = await Promise.all(Array.from({ length: 300 }, () => client.incr("n")));
assert.deepEqual(counts, Array.from({ length: 300 }, (_, i) => i + 1));
assert.equal(await client.add("n", 5), 305);

await client.hSet("hash", { a: "1", b: "2" });
assert.deepEqual({ ...(await client.hGetAll("hash")) }, { a: "1", b: "2" });
assert.deepEqual(await client.multi().set("k", "v").get("k").zAdd("z", { score: 1.5, value: "m" }).exec(), ["OK", "v", 1]);
assert.deepEqual(await client.zRangeWithScores("z", 0, -1), [{ value: "m", score: 1.5 }]);
assert.deepEqual(new Set(await client.sMembers("no such set")), new Set());

await client.watch("k");
const other = await client.duplicate().connect();
await other.set("k", "changed");
await assert.rejects(client.multi().set("k", "mine").exec(), WatchError);
assert.equal(await client.get("k"), "changed");

await client.mSet(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`many:${i}`, "x"])));
const seen = new Set();
for await (const keys of client.scanIterator({ MATCH: "many:*", COUNT: 30 })) keys.forEach((key) => seen.add(key));
assert.equal(seen.size, 200);

const heard = [];
let whenThree;
const three = new Promise((resolve) => (whenThree = resolve));
const listen = (message, channel) => heard.push([channel, message]) === 3 && whenThree();
await other.subscribe("node news", listen);
await other.pSubscribe("node w*", listen);
for (const [channel, message] of [["node news", "1"], ["node weather", "2"], ["node news", "3"]]) {
  assert.equal(await client.publish(channel, message), 1);
}
await three;
assert.deepEqual(heard, [["node news", "1"], ["node weather", "2"], ["node news", "3"]]);
assert.equal(await other.get("k"), "changed"); // RESP3: a subscriber may still ask

const pool = await createClientPool({ url }, { minimum: 2, maximum: 5 }).connect();
const popping = Promise.all(Array.from({ length: 3 }, () => pool.blPop("queue", 30)));
await client.rPush("queue", ["a", "b", "c"]);
assert.deepEqual((await popping).map((reply) => reply.element).sort(), ["a", "b", "c"]);

await client.xGroupCreate("stream", "group", "$", { MKSTREAM: true });
const id = await client.xAdd("stream", "*", { field: "value" });
const [read] = await client.xReadGroup("group", "me", { key: "stream", id: ">" }).then(
  (reply) => (Array.isArray(reply) ? reply : Object.entries(reply).map(([name, messages]) => ({ name, messages }))));
assert.deepEqual([read.name, read.messages[0].id, { ...read.messages[0].message }], ["stream", id, { field: "value" }]);
assert.equal(await client.xAck("stream", "group", id), 1);

await pool.close();
await other.close();
await client.close();
