// @ts-check

// Badges. Each status has a shape and a word, so that people who do not see
// colours can tell them apart.

import { el, svg } from "./dom.js";

/** @typedef {[string, Record<string, string | number>]} Shape */

/** @type {Shape} */
const disc = ["circle", { cx: 8, cy: 8, r: 6 }];
/** @type {Shape} */
const ring = ["circle", { cx: 8, cy: 8, r: 5, fill: "none", stroke: "currentColor", "stroke-width": 2 }];
/** @type {Shape} */
const half = ["path", { d: "M8 3a5 5 0 0 1 0 10z" }];
const cross = line("M4 4l8 8M12 4l-8 8", 2.2);
const check = line("M3.5 8.5l3 3 6-7", 2.2);
const bars = line("M6 4v8M10 4v8", 2.2);
const dash = line("M3.5 8h9", 2.2);

/**
 * @param {string} d
 * @param {number} width
 * @returns {Shape}
 */
function line(d, width) {
  return ["path", { d, fill: "none", stroke: "currentColor", "stroke-width": width, "stroke-linecap": "round" }];
}

/** @type {Record<string, [string, ...Shape[]]>} */
const shapes = {
  succeeded: ["good", check],
  done: ["good", check],
  enabled: ["good", disc],
  pending: ["wait", ring, half],
  running: ["wait", ring, half],
  next: ["wait", ring],
  later: ["off", ring],
  failed: ["bad", cross],
  held: ["wait", bars],
  disabled: ["off", bars],
  cancelled: ["off", dash],
  removed: ["off", dash],
  removing: ["wait", dash],
  received: ["plain", disc],
};

// badge shows the shape and the word of a status.
export function badge(status, word = status) {
  return el("span", { class: `badge ${tone(status)}` }, statusIcon(status), word);
}

// statusIcon draws the shape of a status.
export function statusIcon(status) {
  const [name, ...parts] = shapes[status] ?? shapes.received;
  return svg(`shape ${name}`, ...parts);
}

function tone(status) {
  return (shapes[status] ?? shapes.received)[0];
}
