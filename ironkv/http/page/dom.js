// Making elements, and writing numbers for people. Text is always set as text, never as HTML.

export const byId = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (name === "colour") element.style.setProperty("--colour", value);
    else if (name === "width") element.style.width = value;
    else if (name === "left") element.style.left = value;
    else if (value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// `columns`: [title, class]; `rows`: lists of cells, each a text or an element.
export function fill(table, columns, rows, empty) {
  const head = make("tr", {}, ...columns.map(([title, kind]) => make("th", { class: kind }, title)));
  const body = rows.map((cells) =>
    make("tr", {}, ...cells.map((cell, place) => make("td", { class: columns[place][1] }, cell))));
  if (!rows.length) body.push(make("tr", {}, make("td", { class: "empty", colspan: columns.length }, empty)));
  table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));

export function bytes(value) {
  if (value === null || value === undefined) return "–";
  for (const [unit, name] of [[2 ** 40, "TB"], [2 ** 30, "GB"], [2 ** 20, "MB"], [2 ** 10, "KB"]]) {
    if (value >= unit) return `${(value / unit).toFixed(1)} ${name}`;
  }
  return `${value} B`;
}

export function micro(us) {
  if (us >= 1e6) return `${(us / 1e6).toFixed(1)} s`;
  if (us >= 1e3) return `${(us / 1e3).toFixed(1)} ms`;
  return `${us < 10 ? us.toFixed(1) : Math.round(us)} µs`;
}

export function age(seconds) {
  for (const [unit, name] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= unit) return `${Math.floor(seconds / unit)} ${name}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}

export const clock = (unix) => new Date(unix * 1000).toLocaleTimeString([], { hour12: false });

// The most that so many percent took, from cumulative [most, count] pairs.
export function percentile(buckets, percent) {
  if (!buckets.length) return 0;
  const wanted = (buckets[buckets.length - 1][1] * percent) / 100;
  return buckets.find(([, upTo]) => upTo >= wanted)[0];
}
