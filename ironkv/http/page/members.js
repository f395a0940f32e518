// Who belongs to the cluster. Changing that needs a token, and a question.

import { byId, count, fill, make } from "/console/dom.js";

const COLUMNS = [["node", ""], ["address", ""], ["cluster port", "number"], ["vote", ""], ["state", ""], ["lag", "number"], ["", ""]];
let shown = "";

function buttons(node, page) {
  if (!page.mayChange) return "";
  const found = [make("button", { class: "danger", onclick: () => page.change("remove", node.id) }, "Remove")];
  if (node.vote === "learner") found.unshift(make("button", { onclick: () => page.change("promote", node.id) }, "Give it a vote"));
  return make("span", { class: "row" }, ...found);
}

export function drawMembers(nodes, page) {
  const rows = nodes.map((node) => [
    node.id, `${node.host}:${node.port}`, `${node.cluster_port ?? "–"}`, node.vote ?? "voter",
    node.online === false ? "offline" : "online", node.lag === null ? "–" : `${count(node.lag)} entries`,
  ]);
  // A button that is replaced between pressing and letting go was never clicked.
  const now = JSON.stringify([rows, page.mayChange]);
  if (now === shown) return;
  shown = now;
  fill(byId("members"), COLUMNS, rows.map((cells, place) => [...cells, buttons(nodes[place], page)]), "");
  byId("add").hidden = !page.mayChange;
}

export function beginAdding(page) {
  byId("add").addEventListener("submit", (event) => {
    event.preventDefault();
    const given = Object.fromEntries(new FormData(event.target));
    page.change("add", given.id, given).then((done) => done && event.target.reset());
  });
}
