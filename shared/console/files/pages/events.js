// @ts-check

// The list of events.

import { allRows } from "../parts/call.js";
import { el, link, userText } from "../parts/dom.js";
import { choiceField, textField } from "../parts/fields.js";
import { filters } from "../parts/filter.js";
import { list } from "../parts/list.js";
import { heading, matchSummary } from "../parts/show.js";
import { bytes, when } from "../parts/format.js";

/** @param {PageContext} context */
export async function eventsPage({ me, query, signal }) {
  const operator = me.scope === "operator";
  const sources = await allRows("/sources", { signal });
  const source = query.get("source") ?? (operator ? (sources[0]?.id ?? "") : "");
  const options = sources.map((s) => [s.id, s.name]);
  const fields = [
    choiceField("source", { label: "Source", value: source, options: operator ? options : [["", "All"], ...options] }),
    textField("type", { label: "Type", value: query.get("type"), placeholder: "Group.*", mono: true }),
  ];
  const about = operator ? "Everything a source received." : "What was delivered to you, or is to be.";
  if (operator && sources.length === 0) return [heading("Events", { about }), el("p", { class: "empty" }, "There is no source yet.")];
  /** @type {Column<API["Event"]>[]} */
  const columns = [
    { name: "Event", cell: (e) => link(["events", e.id], userText(e.type)) },
    { name: "Received", cell: (e) => when(e.received) },
    { name: "Routing keys", wide: true, cell: (e) => (e.hidden ? "hidden" : matchSummary(e.keys, "none")) },
    { name: "Size", wide: true, cell: (e) => bytes(e.size) },
  ];
  const rows = list({
    path: "/events",
    query: { source, type: query.get("type") ?? "" },
    columns,
    empty: "No event.",
    signal,
    live: true,
    label: "Events",
  });
  return [heading("Events", { about }), filters(fields), rows];
}
