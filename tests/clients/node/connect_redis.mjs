// connect-redis with express-session: a visitor's session lives in the store, across servers, until it is ended.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { once } from "node:events";
import session from "express-session";
import { RedisStore } from "connect-redis";
import { createClient } from "redis";

const url = process.argv[2];
const client = await createClient({ url }).connect();
await client.flushDb();
const store = new RedisStore({ client, prefix: "session:", ttl: 300 });

function serve() {
  const sessions = session({ store, secret: "only for this test", resave: false, saveUninitialized: false });
  return createServer((request, response) =>
    sessions(request, response, (error) => {
      assert.equal(error, undefined);
      if (request.url === "/leave") return request.session.destroy(() => response.end("left"));
      request.session.visits = (request.session.visits ?? 0) + 1;
      response.end(String(request.session.visits));
    }),
  ).listen(0, "127.0.0.1");
}

const servers = [serve(), serve()];
await Promise.all(servers.map((server) => server.listening || once(server, "listening")));
const ask = (i, path, cookie) =>
  fetch(`http://127.0.0.1:${servers[i].address().port}${path}`, { headers: cookie ? { cookie } : {} });

const first = await ask(0, "/");
const cookie = first.headers.get("set-cookie").split(";")[0];
assert.equal(await first.text(), "1");
assert.equal(await (await ask(0, "/", cookie)).text(), "2");
assert.equal(await (await ask(1, "/", cookie)).text(), "3"); // another server, the same visitor
const [key] = await client.keys("session:*");
const left = await client.ttl(key);
assert.ok(left > 290 && left <= 300, `ttl ${left}`);
assert.equal(JSON.parse(await client.get(key)).visits, 3);
assert.equal(await store.length(), 1);

assert.equal(await (await ask(1, "/leave", cookie)).text(), "left");
assert.deepEqual(await client.keys("session:*"), []);
assert.equal(await (await ask(0, "/", cookie)).text(), "1"); // a new one

for (const server of servers) server.close();
await client.close();
process.exit(0);
