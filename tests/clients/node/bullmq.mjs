// BullMQ: jobs, delayed, repeated, prioritized, failing and retried ones, and a flow; done by real workers.
import assert from "node:assert/strict";
import { FlowProducer, Queue, QueueEvents, Worker } from "bullmq";
import Redis from "ioredis";

const url = process.argv[2];
const connection = new Redis(url, { maxRetriesPerRequest: null });
await connection.flushdb();
const queue = new Queue("work", { connection });
const events = new QueueEvents("work", { connection: connection.duplicate() });
await events.waitUntilReady();

let repeats = 0;
let whenRepeated;
const repeatedTwice = new Promise((resolve) => (whenRepeated = resolve));
const order = [];
const work = async (job) => {
  switch (job.name) {
    case "add":
      await job.updateProgress(50);
      return job.data.a + job.data.b;
    case "second try":
      if (job.attemptsMade === 0) throw new Error("the first time");
      return job.attemptsMade;
    case "fail":
      throw new Error("this job always fails");
    case "repeated":
      if (++repeats === 2) whenRepeated();
      return repeats;
    case "prioritized":
      order.push(job.data.n);
      return job.data.n;
    case "parent": {
      const children = Object.values(await job.getChildrenValues());
      return children.reduce((sum, n) => sum + n, 0);
    }
  }
};

// Before there is a worker, so that priority decides.
const prioritized = await queue.addBulk([3, 1, 2].map((n) => ({ name: "prioritized", data: { n }, opts: { priority: n } })));
assert.equal(await queue.getPrioritizedCount(), 3);
const worker = new Worker("work", work, { connection: connection.duplicate(), concurrency: 1 });
worker.on("error", (error) => assert.fail(error));
const finished = (job) => job.waitUntilFinished(events, 60_000);
await Promise.all(prioritized.map(finished));
assert.deepEqual(order, [1, 2, 3]);

assert.equal(await finished(await queue.add("add", { a: 2, b: 3 })), 5);
const bulk = await queue.addBulk(Array.from({ length: 50 }, (_, i) => ({ name: "add", data: { a: i, b: i } })));
assert.deepEqual(await Promise.all(bulk.map(finished)), Array.from({ length: 50 }, (_, i) => 2 * i));

const asked = Date.now();
const delayed = await queue.add("add", { a: 1, b: 1 }, { delay: 300 });
assert.equal(await delayed.getState(), "delayed");
assert.equal(await finished(delayed), 2);
assert.ok(Date.now() - asked >= 300);

assert.equal(await finished(await queue.add("second try", {}, { attempts: 3, backoff: { type: "fixed", delay: 20 } })), 1);
await assert.rejects(finished(await queue.add("fail", {})), /this job always fails/);
assert.equal(await queue.getFailedCount(), 1);

await queue.upsertJobScheduler("every moment", { every: 100 }, { name: "repeated" });
await repeatedTwice;
assert.equal(await queue.removeJobScheduler("every moment"), true);

const flow = new FlowProducer({ connection: connection.duplicate() });
const tree = await flow.add({
  name: "parent",
  queueName: "work",
  children: [1, 2, 3].map((n) => ({ name: "add", queueName: "work", data: { a: n, b: 0 } })),
});
assert.equal(await finished(tree.job), 6);

const counts = await queue.getJobCounts("completed", "failed", "waiting", "active");
assert.deepEqual({ ...counts, completed: counts.completed >= 60 }, { completed: true, failed: 1, waiting: 0, active: 0 });
await Promise.all([worker.close(), events.close(), flow.close(), queue.close()]);
connection.disconnect();
process.exit(0);
