// @ts-check

// Lists, page by page, and lists that stay up to date.

import { call } from "./call.js";
import { el, fill } from "./dom.js";
import { errorAlert, loading } from "./show.js";
import { when } from "./format.js";

const pollInterval = 3000; // ms between looks at a live list

// list shows a table of the rows of a call. Columns are {name, cell, wide}:
// cell makes the content for a row, and wide ones are left out on a narrow
// screen; the first column names the row, and a stacked list shows the others
// below it there. A live list looks again while signal lasts, the page can be
// seen and paused does not return true. chart draws the rows that are shown; null
// for none.
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
  const drawn = chart && el("div", {});
  const root = Object.assign(el("div", { class: "list" }, drawn, scroller, state), { reload });
  const rows = new Rows(body, columns);
  let cursor = "";
  let scanned; // how far back the last call looked, if it found nothing
  let pages = 0; // loaded so far

  async function load() {
    fill(state, loading());
    try {
      const page = await getPage(path, { query: { ...query, cursor }, signal });
      cursor = page.next_cursor;
      scanned = page.scanned_to;
      pages++;
      rows.put(page.data, null);
      settle();
    } catch (e) {
      if (!signal?.aborted) fill(state, errorAlert(e, load));
    }
  }

  function settle() {
    scroller.hidden = rows.size === 0;
    if (drawn) fill(drawn, chart(rows.all()));
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
      settle();
    } catch (e) {
      if (!signal?.aborted) fill(state, errorAlert(e));
    }
  }

  load();
  if (live) poll(refresh, pollInterval, signal);
  return root;
}

// getPage returns a page of any list. Which lists there are is checked where list
// is called.
/** @type {(path: string, options: object) => Promise<{ data: any[], next_cursor: string, scanned_to?: string }>} */
const getPage = (path, options) => /** @type {any} */ (call)("GET", path, options);

// Rows are those of a table's body, known by their ids.
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

  // put adds new rows before an element, at the end if that is null, and renews
  // those that changed.
  put(rows, before) {
    for (const row of rows) {
      const text = JSON.stringify(row);
      const known = this.#shown.get(row.id);
      if (known?.text === text) continue;
      const element = tr(this.columns, row);
      this.#shown.set(row.id, { element, text, row });
      if (known) replace(known.element, element);
      else this.body.insertBefore(element, before);
    }
  }

  // only takes all but these rows away.
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

// replace keeps the focus where it was.
function replace(old, element) {
  const focused = old.contains(document.activeElement);
  old.replaceWith(element);
  if (focused) element.querySelector("a, button")?.focus();
}

// poll calls f again and again, never twice at once, while signal lasts.
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
