// Events: the list, and one with its payload and deliveries.

import { all, call } from "./call.js";
import { deliveryColumns } from "./deliveries.js";
import { code, el, link, said } from "./dom.js";
import { choice, text } from "./fields.js";
import { filters } from "./filter.js";
import { list } from "./list.js";
import { name } from "./names.js";
import { payload } from "./payload.js";
import { facts, heading, matching, section } from "./show.js";
import { bytes, when } from "./words.js";

export async function eventsPage({ me, query, signal }) {
  const operator = me.scope === "operator";
  const sources = await all("/sources", { signal });
  const source = query.get("source") ?? (operator ? (sources[0]?.id ?? "") : "");
  const options = sources.map((s) => [s.id, s.name]);
  const fields = [
    choice("source", { label: "Source", value: source, options: operator ? options : [["", "All"], ...options] }),
    text("type", { label: "Type", value: query.get("type"), placeholder: "Group.*", mono: true }),
  ];
  const about = operator ? "Everything a source received." : "What was delivered to you, or is to be.";
  if (operator && sources.length === 0) return [heading("Events", { about }), el("p", { class: "empty" }, "There is no source yet.")];
  const columns = [
    { name: "Event", cell: (e) => link(["events", e.id], said(e.type)) },
    { name: "Received", cell: (e) => when(e.received) },
    { name: "Routing keys", wide: true, cell: (e) => (e.hidden ? "hidden" : matching(e.keys, "none")) },
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

export async function eventPage({ params, signal }) {
  const event = await call("GET", `/events/${encodeURIComponent(params.id)}`, { signal });
  return [
    heading(said(event.type), { crumbs: [link("events", "Events")] }),
    eventFacts(event),
    section("Payload", {}, await payload(event, signal)),
    section(
      "Deliveries",
      {},
      list({
        path: "/deliveries",
        query: { event: event.id },
        columns: deliveryColumns(),
        empty: event.unreadable ? "It could not be read, so nobody gets it." : "No registration wanted it.",
        signal,
        label: "Deliveries",
      }),
    ),
  ];
}

// eventFacts shows what is known of an event besides its payload.
export function eventFacts(event) {
  return facts([
    ["Received", when(event.received)],
    ["Happened", event.time && when(event.time)],
    ["Source", link(["sources", event.source], name("sources", event.source))],
    ["Label", event.label && said(event.label)],
    ["Routing keys", event.keys && matching(event.keys)],
    ["Content type", event.content_type && said(event.content_type)],
    ["Event", link(["events", event.id], code(event.id))],
  ]);
}
