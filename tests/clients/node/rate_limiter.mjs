// rate-limiter-flexible: limits that hold across two processes' worth of clients, blocks, penalties, both client libraries.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { BurstyRateLimiter, RateLimiterRedis } from "rate-limiter-flexible";
import { createClient } from "redis";

const url = process.argv[2];
const storeClient = new Redis(url, { enableOfflineQueue: false });
await new Promise((resolve) => storeClient.once("ready", resolve));
await storeClient.flushdb();
const nodeRedis = await createClient({ url }).connect();

const options = { points: 10, duration: 100, keyPrefix: "limit" };
const limiters = [
  new RateLimiterRedis({ ...options, storeClient }),
  new RateLimiterRedis({ ...options, storeClient: nodeRedis, useRedisPackage: true }),
];
const tries = Array.from({ length: 30 }, (_, i) => limiters[i % 2].consume("visitor"));
const outcomes = await Promise.allSettled(tries);
assert.equal(outcomes.filter((o) => o.status === "fulfilled").length, 10);
const refusal = outcomes.find((o) => o.status === "rejected").reason;
assert.equal(refusal.remainingPoints, 0);
assert.ok(refusal.msBeforeNext > 0 && refusal.msBeforeNext <= 100_000, `${refusal.msBeforeNext}`);
assert.equal((await limiters[1].get("visitor")).consumedPoints, 30);
assert.equal((await limiters[0].consume("another")).remainingPoints, 9);
assert.equal((await limiters[0].penalty("another", 4)).consumedPoints, 5);
assert.equal((await limiters[1].reward("another", 2)).consumedPoints, 3);
await limiters[0].block("third", 100);
await assert.rejects(limiters[1].consume("third"), (reason) => reason.msBeforeNext > 0);
assert.equal(await limiters[0].delete("third"), true);
assert.equal((await limiters[1].consume("third")).consumedPoints, 1);

const bursty = new BurstyRateLimiter(
  new RateLimiterRedis({ storeClient, points: 1, duration: 100, keyPrefix: "steady" }),
  new RateLimiterRedis({ storeClient, points: 2, duration: 100, keyPrefix: "burst" }),
);
const bursts = await Promise.allSettled([1, 2, 3, 4].map(() => bursty.consume("visitor")));
assert.equal(bursts.filter((o) => o.status === "fulfilled").length, 3);

const brief = new RateLimiterRedis({ storeClient, points: 1, duration: 1, keyPrefix: "brief" });
await brief.consume("visitor");
const { msBeforeNext } = await brief.consume("visitor").catch((reason) => reason);
await new Promise((resolve) => setTimeout(resolve, msBeforeNext + 100));
assert.equal((await brief.consume("visitor")).consumedPoints, 1);

await nodeRedis.close();
await storeClient.quit();
