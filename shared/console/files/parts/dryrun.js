// @ts-check

// A dry run: which stored events a registration would get, as it is or with other
// event types and another match.

import { call } from "./call.js";
import { el, fill, userText } from "./dom.js";
import { timeField } from "./fields.js";
import { form } from "./form.js";
import { matchSummary } from "./show.js";
import { plural, when } from "./format.js";

// dryRun returns a form and a place for its result. draft returns the event types
// and the match to try; by default those of the registration.
/**
 * @param {string} registration
 * @param {AbortSignal} signal
 * @param {() => { event_types?: string[], match?: API["DryRunInputBody"]["match"] }} draft
 */
export function dryRun(registration, signal, draft = () => ({})) {
  const result = el("div", { class: "state", role: "status" });
  const since = timeField("since", { label: "Since", required: true, value: new Date(Date.now() - 24 * 3600 * 1000) });
  const send = async (v) => {
    const run = await call("POST", `/registrations/${encodeURIComponent(registration)}/dry-run`, { body: { ...v, ...draft() }, signal });
    fill(result, outcome(run));
  };
  return [form({ fields: [since], submit: "Dry run", send, inline: true }), result];
}

/** @param {API["DryRun"]} run */
function outcome(run) {
  const count = `${run.matched} of ${plural(run.looked, "event")} that you may have would be delivered${run.complete ? "." : "; there are more than were looked at."}`;
  const rows = run.events.map((e) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, userText(e.type)),
      el("td", {}, when(e.received)),
      el("td", { class: "wide" }, matchSummary(e.keys, "none")),
    ),
  );
  const head = el(
    "tr",
    {},
    el("th", { scope: "col" }, "Event"),
    el("th", { scope: "col" }, "Received"),
    el("th", { scope: "col", class: "wide" }, "Routing keys"),
  );
  return [
    el("p", {}, count),
    rows.length > 0 &&
      el("div", { class: "table" }, el("table", { "aria-label": "Events of the dry run" }, el("thead", {}, head), el("tbody", {}, rows))),
  ];
}
