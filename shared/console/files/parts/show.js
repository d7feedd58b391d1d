// @ts-check

// Elements that many pages share.

import { el, fill, svg } from "./dom.js";

// heading is the top of a page: breadcrumbs, name, actions.
/**
 * @param {Child} title
 * @param {{ crumbs?: Child[], actions?: Child[], about?: string }} [options]
 */
export function heading(title, { crumbs = [], actions = [], about } = {}) {
  const trail = crumbs.length > 0 && el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, crumbs);
  const h = el("h1", { tabindex: -1 }, title);
  return el(
    "header",
    { class: "heading" },
    trail,
    el("div", { class: "row" }, h, el("div", { class: "actions" }, actions)),
    about && el("p", { class: "about" }, about),
  );
}

// section is a part of a page under a heading of its own.
/**
 * @param {string} title
 * @param {{ actions?: Child[], about?: string }} [options]
 * @param {...Child} content
 */
export function section(title, { about, actions = [] } = {}, ...content) {
  const head = el("div", { class: "row" }, el("h2", {}, title), el("div", { class: "actions" }, actions));
  return el("section", {}, head, about && el("p", { class: "about" }, about), content);
}

// properties shows pairs of a name and a value; empty values are left out.
/** @param {[Child, Child][]} pairs */
export function properties(pairs) {
  const filled = pairs.filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false);
  return el(
    "dl",
    { class: "properties" },
    filled.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
  );
}

// copyable shows a text in a field of its own with a button that copies it.
export function copyable(label, text) {
  const field = el("input", {
    type: "text",
    readonly: true,
    value: text,
    "aria-label": label,
    class: "mono",
    spellcheck: "false",
    focus: () => field.select(),
  });
  const done = el("span", { class: "hidden", role: "status" });
  const b = el("button", { type: "button", "aria-label": `Copy ${label}`, click: copy }, "Copy");
  async function copy() {
    fill(done, (await copied(field)) ? "Copied" : "Press Ctrl-C to copy");
    b.textContent = "Copied";
    setTimeout(() => (b.textContent = "Copy"), 1500);
  }
  return el("span", { class: "copyable" }, field, b, done);
}

// copied copies a field's text to the clipboard. A page that came without TLS has
// no navigator.clipboard, and uses the older execCommand.
async function copied(field) {
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    field.select();
    return document.execCommand("copy");
  }
}

// pre shows text verbatim, in a box that scrolls and takes the keyboard's focus.
export function pre(text, label) {
  return el("pre", { tabindex: 0, role: "group", "aria-label": label }, text);
}

// disclosure hides content until its summary is clicked.
/**
 * @param {string} summary
 * @param {...Child} content
 */
export function disclosure(summary, ...content) {
  return el("details", {}, el("summary", {}, summary), el("div", { class: "inside" }, content));
}

// matchSummary shows the routing keys of a match.
/**
 * @param {{ [key: string]: string[] | null } | null} [match]
 * @param {string} [none]
 */
export function matchSummary(match, none = "everything") {
  const entries = Object.entries(match ?? {});
  if (entries.length === 0) return none;
  return el(
    "span",
    { class: "keys" },
    entries.map(([key, values]) => el("span", { class: "key" }, el("b", {}, key), " ", el("bdi", {}, values?.join(", ")))),
  );
}

// notice is a highlighted sentence.
/** @param {...Child} content */
export function notice(...content) {
  return el("p", { class: "notice" }, content);
}

// errorAlert shows a Problem, with a button if it can be retried.
/**
 * @param {any} problem
 * @param {() => unknown} [retry]
 */
export function errorAlert(problem, retry) {
  const list =
    problem.errors?.length > 0 &&
    el(
      "ul",
      {},
      problem.errors.map((e) => el("li", {}, [e.location, e.message].filter(Boolean).join(": "))),
    );
  const retryButton = retry && el("button", { type: "button", click: retry }, "Try again");
  return el("div", { class: "alert", role: "alert", tabindex: -1 }, el("p", {}, cross(), problem.message), list, retryButton);
}

function cross() {
  const path = {
    d: "M8 1.5l7 12.5H1zM8 6v4M8 12v.2",
    fill: "none",
    stroke: "currentColor",
    "stroke-width": 1.5,
    "stroke-linejoin": "round",
  };
  return svg("shape bad", ["path", path]);
}

// loading is shown while a call has no response.
export function loading(text = "Loading…") {
  return el("p", { class: "loading", role: "status" }, text);
}
