// Lines that grow to the right: uPlot, filled from the node's own memory of the last minutes.

import { byId } from "/console/dom.js";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const HEIGHT = 190;

class Chart {
  constructor(id, format) {
    this.box = byId(id);
    this.format = format;
    this.key = "";
    this.plot = null;
    new ResizeObserver(() => this.plot?.setSize(this.size())).observe(this.box);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.key = ""; });
  }

  size() {
    return { width: this.box.clientWidth, height: HEIGHT };
  }

  // `series`: {label, colour (a CSS variable), dash}; `data`: [times, values, …].
  draw(series, data) {
    const key = JSON.stringify(series);
    if (key === this.key) {
      this.plot.setData(data);
      return;
    }
    this.key = key;
    this.plot?.destroy();
    const grid = { stroke: css("--line"), width: 1 };
    const axis = { stroke: css("--soft"), grid, ticks: grid, font: "11px system-ui, sans-serif" };
    this.plot = new uPlot({
      ...this.size(),
      cursor: { drag: { x: false, y: false } },
      scales: { y: { range: (_, __, most) => [0, Math.max(most * 1.1, this.least ?? 1)] } },
      axes: [{ ...axis, space: 80, values: (_, times) => times.map((t) => new Date(t * 1000).toLocaleTimeString([], { hour12: false })) },
             { ...axis, size: 58, values: (_, values) => values.map(this.format) }],
      series: [{ value: (_, t) => (t ? new Date(t * 1000).toLocaleTimeString([], { hour12: false }) : "–") },
        ...series.map((each) => ({
          label: each.label, stroke: css(each.colour), width: 2, dash: each.dash, points: { show: false },
          value: (_, v) => (v === null || v === undefined ? "–" : this.format(v)),
        }))],
    }, data, this.box);
  }
}

// Histories of several nodes at common times: each node's own clock is rounded to seconds.
function together(histories, column) {
  const times = [...new Set(histories.flatMap((each) => each.map(([t]) => Math.round(t))))].sort((a, b) => a - b);
  const rows = histories.map((each) => {
    const at = new Map(each.map((row) => [Math.round(row[0]), row[column]]));
    // A node that skips a second has not stopped: only a longer silence is a gap.
    return times.map((t) => at.get(t) ?? at.get(t - 1) ?? null);
  });
  return [times, ...rows];
}

const rates = new Chart("rates", (v) => (v >= 1000 ? `${+(v / 1000).toFixed(1)}k` : `${Math.round(v)}`));
rates.least = 10;
const commits = new Chart("commits", (v) => `${+v.toFixed(v < 10 ? 1 : 0)}`);

export function drawCharts(nodes) {
  const told = nodes.filter((node) => node.told);
  rates.draw(told.map((node) => ({ label: node.id, colour: node.variable })), together(told.map((n) => n.told.history), 1));
  const led = told.map((node) => node.told.history);
  const [times, ...middles] = together(led, 2);
  const [, ...worsts] = together(led, 3);
  // Only a leader commits, so of each moment the slowest is the leader's.
  const merge = (rows) => times.map((_, i) => Math.max(...rows.map((row) => row[i] ?? 0)) / 1000);
  commits.draw([{ label: "median", colour: "--n0" }, { label: "99 %", colour: "--n4", dash: [5, 4] }],
    [times, merge(middles), merge(worsts)]);
}
