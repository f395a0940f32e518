// The nodes as cards, who led when, and how their disks are.

import { age, byId, bytes, clock, count, fill, make, micro, percentile } from "/console/dom.js";

const ROLES = { leader: "♛ leader", follower: "follower", candidate: "candidate" };

function facts(node) {
  const { told } = node;
  const lag = node.lag === null ? null : [node.lag ? `${count(node.lag)} entries` : "none"];
  return [
    ["commands/s", count(told.commands.per_second)],
    ["keys", count(told.keys.reduce((sum, each) => sum + each.keys, 0))],
    ["clients", count(told.clients.connected)],
    ["memory", bytes(told.memory.resident)],
    ["term", told.raft.term],
    ["applied", count(told.raft.applied)],
    lag ? ["lag", ...lag] : ["proposals", count(told.raft.proposals)],
    ["up for", age(told.uptime)],
  ];
}

function card(node, page) {
  const { told } = node;
  const role = told ? (told.loading ? "loading" : told.raft.role) : "out of reach";
  const kind = !told ? "bad" : role === "leader" ? "good" : role === "follower" ? "" : "warn";
  const reasons = told ? Object.values(told.failing) : [node.why];
  const children = [
    make("h3", {}, make("span", { class: "dot" }), node.id,
      node.id === page.me ? make("small", {}, "asked") : null,
      make("span", { class: `pill ${kind}` }, ROLES[role] ?? role)),
    make("p", { class: "address" }, `${node.host}:${node.port} · `,
      make("a", { href: `//${node.host}:${node.http_port}/` }, `:${node.http_port}`)),
  ];
  if (told) {
    children.push(make("dl", {}, ...facts(node).map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, `${value}`)))));
  }
  if (reasons.length) children.push(make("ul", { class: "reasons" }, ...reasons.map((each) => make("li", {}, each))));
  if (page.mayChange && told && role === "follower" && node.vote !== "learner") {
    children.push(make("button", { onclick: () => page.change("transfer", node.id) }, `Let ${node.id} lead`));
  }
  return make("article", { class: `node ${told ? "" : "away"}`, "data-node": node.id, "data-role": role, colour: node.colour }, ...children);
}

export function drawNodes(nodes, page) {
  const box = byId("nodes");
  // Buttons keep the focus: nothing is replaced that says the same as before.
  const fresh = nodes.map((node) => card(node, page));
  fresh.forEach((each, place) => {
    const old = box.children[place];
    if (!old) box.append(each);
    else if (!old.isEqualNode(each) || old.querySelector("button")) {
      if (!old.contains(document.activeElement)) old.replaceWith(each);
    }
  });
  while (box.children.length > fresh.length) box.lastChild.remove();
}

// From this node's events: reigns [from, to, leader or null, term].
export function reigns(events, now) {
  const found = [];
  for (const [at, , term, leader] of events) {
    const last = found[found.length - 1];
    if (last && last.leader === leader && (leader === null || last.term === term)) continue;
    if (last) last.to = at;
    found.push({ from: at, to: now, leader, term });
  }
  return found;
}

export function drawTimeline(told, colours) {
  const now = told.time;
  const all = reigns(told.events, now);
  const first = all.length ? all[0].from : now;
  const from = Math.max(first, now - 600) - 1;
  const span = Math.max(now - from, 1);
  const blocks = all.filter((each) => each.to >= from && each.leader).map((each) => {
    const left = Math.max(each.from, from);
    return make("span", {
      class: "reign", colour: colours.get(each.leader) ?? "", left: `${(100 * (left - from)) / span}%`,
      width: `${(100 * (each.to - left)) / span}%`, title: `${each.leader}, term ${each.term}, from ${clock(each.from)}`,
    }, `${each.leader} · term ${each.term}`);
  });
  const lines = all.filter((each) => each.leader || each.to - each.from > 0.1).slice(-6).reverse().map((each) => make("li", {},
    make("span", { class: "dot", colour: colours.get(each.leader) ?? "" }),
    `${clock(each.from)} ${each.leader ? `${each.leader} leads in term ${each.term}` : "no leader"}` +
    (each.leader ? "" : ` for ${(each.to - each.from).toFixed(1)} s`)));
  byId("timeline").replaceChildren(
    make("div", { class: "lane" }, ...blocks),
    make("div", { class: "axis" }, make("span", {}, clock(from)), make("span", {}, `elections called by this node: ${told.raft.elections}`), make("span", {}, "now")),
    make("ul", { class: "events" }, ...lines));
}

export function drawStorage(nodes) {
  const rows = nodes.filter((node) => node.told).map(({ id, told }) => {
    const { journal, snapshot, histograms } = told;
    const disk = snapshot.lacking ?? (snapshot.journal_waits ? "a write waits for room" : "room enough");
    return [
      id, bytes(journal.bytes_used), `${count(journal.first_index)} – ${count(journal.last_index)}`,
      micro(percentile(histograms.journal_us.buckets, 50)), micro(percentile(histograms.journal_us.buckets, 99)),
      snapshot.index ? `${count(snapshot.index)}, ${age(told.time - snapshot.saved_s)} ago` : "none yet",
      bytes(snapshot.bytes_used),
      snapshot.in_progress ? `${Math.round(100 * snapshot.progress)} %` : (snapshot.error ?? "no"),
      make("span", { class: `pill ${snapshot.lacking || snapshot.journal_waits ? "bad" : "good"}` }, disk),
    ];
  });
  fill(byId("storage"), [["node", ""], ["journal", "number"], ["entries", ""], ["write, median", "number"],
    ["99 %", "number"], ["newest snapshot", ""], ["snapshots", "number"], ["taking one", ""], ["disk", ""]], rows, "");
}
