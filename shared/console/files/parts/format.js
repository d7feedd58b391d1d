// @ts-check

// Times, durations and sizes as people read them.

import { el } from "./dom.js";

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const year = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const short = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

// when shows an instant in the reader's time zone, and in UTC on hover.
export function when(text, { none = "never" } = {}) {
  if (!text) return none;
  return el("time", { datetime: text, title: utc(text), class: "when" }, local(new Date(text)));
}

// local returns a time without its date if that is today, and without its year
// if that is this year.
/** @param {Date} t */
function local(t) {
  const now = new Date();
  if (t.toDateString() === now.toDateString()) return clock.format(t);
  const date = t.getFullYear() === now.getFullYear() ? day.format(t) : year.format(t);
  return `${date}, ${short.format(t)}`;
}

// utc returns an instant in UTC, to the second.
function utc(text) {
  return new Date(text)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, " UTC");
}

// ago returns how long ago an instant was.
export function ago(text) {
  return duration((Date.now() - new Date(text).getTime()) / 1000) + " ago";
}

/** @type {[number, string][]} */
const units = [
  [86400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
];

// duration returns a number of seconds in its two largest units.
export function duration(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [size, name] of units) {
    const n = Math.floor(rest / size);
    if (n > 0) parts.push(`${n} ${name}`);
    rest -= n * size;
    if (parts.length === 2 || (parts.length === 1 && n === 0)) break;
  }
  return parts.join(" ") || "0 s";
}

/** @type {Record<string, number>} */
const sizes = { h: 3600, m: 60, s: 1, ms: 1e-3, µs: 1e-6, ns: 1e-9 };

// parseSeconds reads a duration as the API writes it, such as 5m0s.
export function parseSeconds(text) {
  let sum = 0;
  for (const [, n, unit] of text.matchAll(/([\d.]+)(h|ms|m|s|µs|ns)/g)) sum += Number(n) * sizes[unit];
  return sum;
}

// shortDuration shows a duration of the API with three digits at most.
export function shortDuration(text) {
  const s = parseSeconds(text);
  if (s >= 60) return duration(s);
  if (s >= 1) return `${Number(s.toPrecision(3))}\u00a0s`;
  return `${Number((s * 1000).toPrecision(2))}\u00a0ms`;
}

// bytes shows a size.
export function bytes(n) {
  return n < 1024 ? `${n} B` : `${Number((n / 1024).toPrecision(3))} KiB`;
}

// plural returns a number with its noun.
export function plural(n, noun, more = noun + "s") {
  return `${n} ${n === 1 ? noun : more}`;
}
