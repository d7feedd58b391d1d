// @ts-check

// The list of sources.

import { allRows } from "../parts/call.js";
import { el, link, path, userText } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { heading } from "../parts/show.js";
import { granted, lastEvent, providerName } from "../parts/sources.js";
import { when } from "../parts/format.js";

/** @param {PageContext} context */
export function sourcesPage({ me, signal }) {
  return me.scope === "operator" ? operatorSources(signal) : grantedSources(signal);
}

function operatorSources(signal) {
  /** @type {Column<API["Source"]>[]} */
  const columns = [
    { name: "Source", cell: (s) => link(["sources", s.id], userText(s.name)) },
    { name: "Provider", cell: (s) => providerName(s.provider) },
    { name: "Last event", cell: (s) => lastEvent(s.id, signal) },
    { name: "History kept", wide: true, cell: (s) => s.history },
    { name: "Created", wide: true, cell: (s) => when(s.created) },
  ];
  const empty = "No source yet. A source is one account at a provider: it gets a callback URL for you to enter there.";
  return [
    heading("Sources", { actions: [el("a", { class: "button primary", href: path("sources", "new") }, "New source")] }),
    list({ path: "/sources", columns, empty, signal, label: "Sources" }),
  ];
}

async function grantedSources(signal) {
  const rows = await allRows("/sources", { signal });
  /** @type {Column<API["Source"]>[]} */
  const columns = [
    { name: "Source", cell: (s) => link(["sources", s.id], userText(s.name)) },
    { name: "Provider", cell: (s) => providerName(s.provider) },
    { name: "You may receive", cell: (s) => granted(s) },
    { name: "Documented event types", wide: true, cell: (s) => s.event_types?.length ?? 0 },
  ];
  return [
    heading("Sources", { about: "What the operator has granted you. A registration picks events of one source." }),
    rows.length === 0
      ? el("p", { class: "empty" }, "Nothing is granted yet. Ask the operator for a grant.")
      : list({ path: "/sources", columns, empty: "", signal, label: "Sources" }),
  ];
}
