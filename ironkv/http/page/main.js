// Asks the node once a second and draws what it says.

import { ask, Refused, setToken } from "/console/api.js";
import { drawCharts } from "/console/charts.js";
import { byId, clock, make } from "/console/dom.js";
import { beginKeys } from "/console/keys.js";
import { beginAdding, drawMembers } from "/console/members.js";
import { drawNodes, drawStorage, drawTimeline } from "/console/nodes.js";
import { drawCommands, drawSlow, drawTops } from "/console/tables.js";

const EVERY_MS = 1000;
const COLOURS = 5;
let begun = false;
let lastNodes = [];
let silentSince = null;

function nodesOf(answer) {
  const { node: mine, others, me } = answer;
  const members = mine.nodes.length ? [...mine.nodes] : [{ id: me, host: location.hostname, port: "", http_port: location.port, lag: null }];
  members.sort((a, b) => (a.id < b.id ? -1 : 1));
  // What the leader says of the others' lag counts; it may not be the node that was asked.
  const tellers = [mine, ...Object.values(others)].filter((each) => each.raft?.role === "leader");
  const lags = new Map(tellers.flatMap((each) => each.nodes.map((node) => [node.id, node.id === each.id ? null : node.lag])));
  return members.map((member, place) => {
    const answered = member.id === me ? mine : others[member.id];
    const told = answered && !answered.error ? answered : null;
    const variable = `--n${place % COLOURS}`;
    const seen = member.online ? "is up, and its HTTP port is silent" : "is out of reach";
    return { ...member, told, lag: lags.get(member.id) ?? null, why: `${seen}: ${answered?.error ?? "no answer"}`, variable, colour: `var(${variable})` };
  });
}

function drawVerdict(nodes, leader) {
  const pill = byId("verdict");
  const away = nodes.filter((node) => !node.told).length;
  const wrong = nodes.filter((node) => node.told && Object.keys(node.told.failing).length).length;
  if (!leader) [pill.className, pill.textContent] = ["pill bad", "no leader"];
  else if (away) [pill.className, pill.textContent] = ["pill warn", `${leader} leads, ${away} of ${nodes.length} out of reach`];
  else if (wrong) [pill.className, pill.textContent] = ["pill warn", `${leader} leads, something is wrong`];
  else [pill.className, pill.textContent] = ["pill good", `healthy, ${leader} leads`];
}

// The event of a closed dialog comes late: it may be open again by then, with another question.
let answered = null;
byId("sure").addEventListener("close", () => {
  if (byId("sure").open || answered === null) return;
  answered(byId("sure").returnValue === "yes");
  answered = null;
});

function confirmed(question) {
  if (answered !== null) answered(false);
  byId("question").textContent = question;
  byId("sure").returnValue = "no";
  byId("sure").showModal();
  return new Promise((resolve) => { answered = resolve; });
}

const QUESTIONS = {
  add: (id, { host, cluster_port: port }) => `Add ${id} at ${host}:${port}? It is sent all data.`,
  promote: (id) => `Give ${id} its vote now?`,
  remove: (id) => `Remove ${id} from the cluster? It has no say any more, at once.`,
  transfer: (id) => `Hand leadership to ${id}? Writes pause for a moment.`,
};

async function change(what, id, given = {}) {
  if (!(await confirmed(QUESTIONS[what](id, given)))) return false;
  try {
    await ask(`/api/members/${what}?${new URLSearchParams({ ...given, id })}`, { method: "POST", wait: 50000 });
    say();
    return true;
  } catch (error) {
    say(error.message);
    return false;
  }
}

function say(...text) {
  const banner = byId("banner");
  banner.hidden = !text.length;
  banner.replaceChildren(...text);
}

function draw(answer) {
  const nodes = nodesOf(answer);
  const mine = answer.node;
  const leader = mine.raft.leader;
  lastNodes = nodes;
  byId("content").hidden = false;
  byId("login").hidden = true;
  byId("cluster").textContent = mine.cluster ?? "";
  byId("when").textContent = `${clock(mine.time)} · asked ${answer.me}`;
  byId("about").textContent = `IronKV ${mine.version}`;
  document.title = `${leader ?? "no leader"} · IronKV`;
  drawVerdict(nodes, leader);
  const page = { me: answer.me, leader, mayChange: answer.may_change, change };
  drawNodes(nodes, page);
  drawMembers(nodes, page);
  drawTimeline(mine, new Map(nodes.map((node) => [node.id, node.colour])));
  drawCharts(nodes);
  drawStorage(nodes);
  drawCommands(nodes);
  drawSlow(nodes);
  drawTops(nodes);
}

function silent(error) {
  silentSince ??= Date.now() / 1000;
  const links = lastNodes.filter((node) => node.told && node.http_port !== Number(location.port))
    .flatMap((node) => [" ", make("a", { href: `//${node.host}:${node.http_port}/` }, node.id)]);
  say(`This node has not answered since ${clock(silentSince)} (${error.message}).`, ...(links.length ? [" Ask another:", ...links] : []));
  byId("verdict").className = "pill bad";
  byId("verdict").textContent = "no answer";
}

async function turn() {
  try {
    const answer = await ask("/api/cluster");
    if (silentSince !== null) say();
    silentSince = null;
    draw(answer);
    if (!begun) {
      begun = true;
      beginKeys();
    }
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      byId("login").hidden = false;
      byId("verdict").textContent = "token needed";
      return; // the form goes on from here
    }
    silent(error);
  }
  setTimeout(turn, document.hidden ? 5 * EVERY_MS : EVERY_MS);
}

beginAdding({ change });
byId("login").addEventListener("submit", (event) => {
  event.preventDefault();
  setToken(byId("token").value);
  turn();
});
turn();
