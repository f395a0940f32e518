// Looking at keys: SCAN with a pattern, and one value's beginning.

import { ask } from "/console/api.js";
import { age, byId, bytes, count, fill, make } from "/console/dom.js";

const COLUMNS = { string: ["value"], list: ["element"], set: ["member"], hash: ["field", "value"], zset: ["member", "score"], stream: ["id", "fields"] };
let found = [];
let cursor = "0";

const lives = (ms) => (ms === null ? "∞" : age(ms / 1000));

async function scan(from) {
  const db = byId("db").value;
  try {
    if (from === "0") found = [];
    // A page may come back empty though there is more behind it: go on until something shows.
    const wanted = found.length + 50;
    let rounds = 0;
    do {
      const query = new URLSearchParams({ db, cursor: from, match: byId("pattern").value || "*" });
      const page = await ask(`/api/keys?${query}`);
      found.push(...page.keys);
      from = page.cursor;
    } while (from !== "0" && found.length < wanted && ++rounds < 20);
    cursor = from;
    fill(byId("keys"), [["key", "text"], ["type", ""], ["lives for", "number"]], found.map((each) => [
      make("button", { class: "key", onclick: () => show(db, each.key.b64) }, each.key.text.slice(0, 200)), each.type, lives(each.ttl_ms)]),
      "no key matches");
    byId("more").hidden = cursor === "0";
  } catch (error) {
    fill(byId("keys"), [["key", "text"]], [], error.message);
  }
}

export async function show(db, b64) {
  const box = byId("value");
  try {
    const each = await ask(`/api/key?${new URLSearchParams({ db, key: b64 })}`);
    const table = make("table");
    const titles = COLUMNS[each.type];
    const rows = each.value.map((cells) => (each.type === "stream" ? [cells[0].text, cells.slice(1).map((c) => c.text).join(" ")] : cells.map((c) => c.text)));
    fill(table, titles.map((title) => [title, "text"]), rows, "empty");
    const shown = each.type === "string" ? Math.min(each.size, 4096) : rows.length;
    box.replaceChildren(
      make("p", {}, make("strong", {}, each.key.text.slice(0, 1000))),
      make("p", {}, `${each.type} (${each.encoding}) · ${count(each.size)} ${each.type === "string" ? "bytes" : "elements"} · ` +
        `about ${bytes(each.bytes)} · lives for ${lives(each.ttl_ms)}${shown < each.size ? ` · the first ${count(shown)}` : ""}`),
      make("div", { class: "scroll" }, table));
  } catch (error) {
    box.replaceChildren(make("p", {}, error.message));
  }
  if (box.getBoundingClientRect().top > innerHeight - 120 || box.getBoundingClientRect().bottom < 0) {
    box.scrollIntoView({ behavior: "smooth", block: "center" });
  }
}

export function beginKeys() {
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    scan("0");
  });
  byId("more").addEventListener("click", () => scan(cursor));
  scan("0");
}
