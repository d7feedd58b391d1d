// @ts-check

// Lists, page by page, and live lists.

import { call } from "./call.js";
import { el, fill } from "./dom.js";
import { errorAlert, loading } from "./show.js";
import { when } from "./format.js";

const pollInterval = 3000; // ms

// list returns a table of the rows of a call. Columns are {name, cell, wide}: cell
// returns the content for a row. A narrow screen hides wide columns; a stacked
// list shows the columns below each other there. The first column names the row.
// A live list loads its first page again every 3 s, unless signal is aborted, the
// page is hidden, or paused returns true. chart draws the rows that are shown.
/**
 * @template {Known<"GET">} A
 * @param {{
 *   path: A, query?: QueryOf<Operation<"GET", A>>, columns: Column<RowOf<A>>[], empty: string, signal: AbortSignal,
 *   live?: boolean, paused?: () => boolean, label: string, stacked?: boolean, chart?: (rows: RowOf<A>[]) => Child,
 * }} options
 * @returns {HTMLElement & { reload: () => Promise<void> }}
 */
export function list({ path, query, columns, empty, signal, live = false, paused = () => false, label, stacked = false, chart }) {
  const body = el("tbody", { role: "rowgroup" });
  const table = el("table", { "aria-label": label, role: "table", class: stacked && "stacked" }, head(columns), body);
  const state = el("div", { class: "state" });
  const scroller = el("div", { class: "table" }, table);
  const chartBox = chart && el("div", {});
  const root = Object.assign(el("div", { class: "list" }, chartBox, scroller, state), { reload });
  const rows = new Rows(body, columns);
  let cursor = "";
  let scanned; // how far back the last call read, if it found nothing
  let pages = 0; // loaded so far

  async function load() {
    fill(state, loading());
    try {
      const page = await getPage(path, { query: { ...query, cursor }, signal });
      cursor = page.next_cursor;
      scanned = page.scanned_to;
      pages++;
      rows.put(page.data, null);
      showState();
    } catch (e) {
      if (!signal?.aborted) fill(state, errorAlert(e, load));
    }
  }

  function showState() {
    scroller.hidden = rows.size === 0;
    if (chartBox) fill(chartBox, chart(rows.all()));
    if (cursor) fill(state, el("button", { type: "button", click: load }, scanned ? "Look further back" : "More"), scanned && [" Nothing was found back to ", when(scanned), "."]);
    else fill(state, rows.size === 0 && el("p", { class: "empty" }, empty));
  }

  function reload() {
    rows.only([]);
    cursor = "";
    pages = 0;
    return load();
  }

  async function refresh() {
    if (document.hidden || paused()) return;
    try {
      const page = await getPage(path, { query, signal });
      rows.put(page.data, body.firstChild);
      if (pages === 1) {
        rows.only(page.data);
        cursor = page.next_cursor;
      }
      showState();
    } catch (e) {
      if (!signal?.aborted) fill(state, errorAlert(e));
    }
  }

  load();
  if (live) poll(refresh, pollInterval, signal);
  return root;
}

// getPage returns a page of any list. The types check the path where list is
// called.
/** @type {(path: string, options: object) => Promise<{ data: any[], next_cursor: string, scanned_to?: string }>} */
const getPage = (path, options) => /** @type {any} */ (call)("GET", path, options);

// Rows are the rows of a table's body, by id.
class Rows {
  /** @type {Map<string, { element: HTMLElement, text: string, row: any }>} */
  #shown = new Map(); // by id

  constructor(body, columns) {
    this.body = body;
    this.columns = columns;
  }

  get size() {
    return this.#shown.size;
  }

  all() {
    return Array.from(this.#shown.values(), ({ row }) => row);
  }

  // put inserts new rows before an element, or at the end if that is null, and
  // replaces the rows that changed.
  put(rows, before) {
    for (const row of rows) {
      const text = JSON.stringify(row);
      const old = this.#shown.get(row.id);
      if (old?.text === text) continue;
      const element = tr(this.columns, row);
      this.#shown.set(row.id, { element, text, row });
      if (old) replace(old.element, element);
      else this.body.insertBefore(element, before);
    }
  }

  // only removes all rows except these.
  only(rows) {
    const ids = new Set(rows.map((row) => row.id));
    for (const [id, { element }] of this.#shown) {
      if (ids.has(id)) continue;
      element.remove();
      this.#shown.delete(id);
    }
  }
}

function head(columns) {
  return el(
    "thead",
    { role: "rowgroup" },
    el(
      "tr",
      { role: "row" },
      columns.map((c) => el("th", { scope: "col", role: "columnheader", class: c.wide && "wide" }, c.name)),
    ),
  );
}

function tr(columns, row) {
  const cells = columns.map((c, i) =>
    el(
      i === 0 ? "th" : "td",
      { scope: i === 0 && "row", class: c.wide && "wide", "data-name": i > 0 && c.name, role: i === 0 ? "rowheader" : "cell" },
      c.cell(row),
    ),
  );
  return el("tr", { role: "row" }, cells);
}

// replace replaces a row and keeps the focus in it.
function replace(old, element) {
  const focused = old.contains(document.activeElement);
  old.replaceWith(element);
  if (focused) element.querySelector("a, button")?.focus();
}

// poll calls f every ms milliseconds, one call at a time, until signal is aborted.
/**
 * @param {() => unknown} f
 * @param {number} ms
 * @param {AbortSignal} signal
 */
export function poll(f, ms, signal) {
  const next = () => {
    const timer = setTimeout(async () => {
      await f();
      if (!signal.aborted) next();
    }, ms);
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  };
  next();
}
