// What was done, what was slow, which keys are big or hot.

import { byId, bytes, clock, count, fill, make, micro, percentile } from "/console/dom.js";
import { show } from "/console/keys.js";

function summed(nodes) {
  const all = new Map();
  for (const { told } of nodes) {
    for (const [name, each] of Object.entries(told?.calls ?? {})) {
      const sum = all.get(name) ?? { calls: 0, seconds: 0, failed: 0, rejected: 0, worst: 0, middle: 0 };
      for (const field of ["calls", "seconds", "failed", "rejected"]) sum[field] += each[field];
      sum.worst = Math.max(sum.worst, percentile(each.buckets, 99));
      sum.middle = Math.max(sum.middle, percentile(each.buckets, 50));
      all.set(name, sum);
    }
  }
  return [...all].sort(([, a], [, b]) => b.seconds - a.seconds).slice(0, 12);
}

export function drawCommands(nodes) {
  const rows = summed(nodes).map(([name, each]) => [
    name, count(each.calls), micro(each.calls ? (1e6 * each.seconds) / each.calls : 0), micro(each.middle), micro(each.worst),
    `${each.seconds.toFixed(2)} s`, count(each.failed), count(each.rejected),
  ]);
  fill(byId("commands"), [["command", "text"], ["calls", "number"], ["mean", "number"], ["median ≤", "number"],
    ["99 % ≤", "number"], ["together", "number"], ["failed", "number"], ["refused", "number"]], rows, "nothing yet");
}

export function drawSlow(nodes) {
  const rows = nodes.flatMap((node) => (node.told?.slow ?? []).map((each) => ({ ...each, node: node.id })))
    .sort((a, b) => b.at - a.at).slice(0, 10)
    .map((each) => [clock(each.at), each.node, micro(each.us),
      each.args.map((arg) => arg.text).join(" ").slice(0, 300), each.client]);
  fill(byId("slow"), [["when", ""], ["node", ""], ["took", "number"], ["command", "text"], ["client", ""]], rows,
    "none: nothing took longer than slowlog-log-slower-than");
}

const link = ({ db, key }) =>
  make("button", { class: "key", onclick: () => show(db, key.b64) }, (db ? `db${db} ` : "") + key.text.slice(0, 200));

export function drawTops(nodes) {
  const leader = nodes.find((node) => node.told?.raft.role === "leader")?.told ?? nodes.find((node) => node.told)?.told;
  if (!leader) return;
  const most = leader.hottest[0]?.share ?? 1;
  fill(byId("hottest"), [["share", ""], ["key", "text"]], leader.hottest.map((each) => [
    make("span", {}, make("span", { class: "bar", width: `${Math.max(3, (70 * each.share) / most)}px` }), `${(100 * each.share).toFixed(1)} %`),
    link(each)]), "nothing was asked for lately");
  fill(byId("biggest"), [["memory", "number"], ["key", "text"]],
    leader.biggest.map((each) => [bytes(each.bytes), link(each)]), "no keys");
}
