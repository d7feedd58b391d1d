// @ts-check

// A chart of the deliveries in a list.

import { el } from "./dom.js";
import { badge } from "./badge.js";

const columns = 60;
const half = 30; // height of the taller side

// Statuses that are drawn above the axis, and those below it, so that people who
// do not see colours can tell them apart.
const up = ["succeeded", "pending", "held"];
const down = ["failed", "cancelled"];

const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

// deliveryChart shows when rows were received, by status. It returns null for
// less than three rows.
/** @param {API["Delivery"][]} rows */
export function deliveryChart(rows) {
  const times = rows.map((r) => new Date(r.received).getTime());
  const from = Math.min(...times);
  const to = Math.max(...times);
  if (rows.length < 3 || from === to) return null;
  const counted = Array.from({ length: columns }, () => ({}));
  const all = {};
  rows.forEach((r, i) => {
    const column = counted[Math.min(columns - 1, Math.floor((columns * (times[i] - from)) / (to - from)))];
    column[r.status] = (column[r.status] ?? 0) + 1;
    all[r.status] = (all[r.status] ?? 0) + 1;
  });
  const format = to - from < 12 * 3600 * 1000 ? minute : day;
  const ends = [from, to].map((t) => format.format(t));
  const words = [...up, ...down].filter((s) => all[s]).map((s) => `${all[s]} ${s}`);
  const legend = [...up, ...down].filter((s) => all[s]).map((s) => badge(s, `${all[s]} ${s}`));
  return el(
    "figure",
    { class: "chart" },
    bars(counted, `The newest ${rows.length} deliveries, ${ends.join(" to ")}: ${words.join(", ")}`),
    el("figcaption", {}, el("span", {}, ends[0]), el("span", { class: "legend" }, legend), el("span", {}, ends[1])),
  );
}

function bars(counted, label) {
  const space = "http://www.w3.org/2000/svg";
  const root = document.createElementNS(space, "svg");
  const total = (c, names) => names.reduce((n, name) => n + (c[name] ?? 0), 0);
  const most = Math.max(1, ...counted.flatMap((c) => [total(c, up), total(c, down)]));
  const below = counted.some((c) => total(c, down) > 0) ? half : 0;
  const rect = (className, x, y, height) => {
    const r = document.createElementNS(space, "rect");
    for (const [k, v] of Object.entries({ class: className, x: x * 12 + 2, y, width: 8, height })) r.setAttribute(k, String(v));
    root.append(r);
    return r;
  };
  root.setAttribute("viewBox", `0 0 ${columns * 12} ${half + below + 1}`);
  root.setAttribute("preserveAspectRatio", "none");
  root.setAttribute("role", "img");
  root.setAttribute("aria-label", label);
  root.setAttribute("class", below > 0 ? "both" : "one");
  counted.forEach((c, x) => {
    let y = half;
    for (const name of up) y = stack(rect, name, x, y - ((c[name] ?? 0) * half) / most, y);
    y = half + 1;
    for (const name of down) stack(rect, name, x, y, (y += ((c[name] ?? 0) * half) / most));
  });
  const axis = rect("axis", 0, half, 1);
  axis.setAttribute("x", "0");
  axis.setAttribute("width", String(columns * 12));
  return root;
}

// stack draws a part of a column if it has any height, and returns its top.
function stack(rect, name, x, top, bottom) {
  if (bottom > top) rect(name, x, top, bottom - top);
  return top;
}
