// ioredis as a client of Redis Cluster or of Sentinel: a counter is raised and raised while the leader goes away.
// Arguments: `cluster` or `sentinel`, then the ports. Prints the number after each success, and ends with its input.
import Redis from "ioredis";

const [way, ...ports] = process.argv.slice(2);
const nodes = ports.map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const redis = way === "cluster" ? new Redis.Cluster(nodes) : new Redis({ sentinels: nodes, name: "mymaster" });
redis.on("error", () => {});
let over = false;
process.stdin.on("end", () => (over = true)).resume();

for (let i = 1; !over; i++) {
  try {
    await redis.set(`ioredis ${way}:${i}`, i);
    console.log(i);
  } catch (error) {
    console.error(`${i}: ${error.message}`);
  }
}
redis.disconnect();
