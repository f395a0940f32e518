// ioredis as a client of Redis Cluster, of Sentinel, or of one node: a counter is raised and raised while the leader
// goes away. Arguments: `cluster`, `sentinel` or `alone`, then the ports. Prints the number after each success, and ends with its input.
import Redis from "ioredis";

const [way, ...ports] = process.argv.slice(2);
const nodes = ports.map((port) => ({ host: "127.0.0.1", port: Number(port) }));
const open = {
  cluster: () => new Redis.Cluster(nodes),
  sentinel: () => new Redis({ sentinels: nodes, name: "mymaster" }),
  alone: () => new Redis(nodes[0]),
};
const redis = open[way]();
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
