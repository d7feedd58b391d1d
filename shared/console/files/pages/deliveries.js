// @ts-check

// The live list of deliveries.

import { allRows } from "../parts/call.js";
import { deliveryChart } from "../parts/chart.js";
import { deliveryColumns, registrationName } from "../parts/columns.js";
import { el } from "../parts/dom.js";
import { choiceField, textField, timeField } from "../parts/fields.js";
import { filters } from "../parts/filter.js";
import { list } from "../parts/list.js";
import { heading } from "../parts/show.js";
import { tenantChoice } from "../parts/tenantchoice.js";

const statuses = ["pending", "succeeded", "failed", "held", "cancelled"];

/** @param {PageContext} context */
export async function deliveriesPage({ me, query, signal }) {
  const operator = me.scope === "operator";
  const at = Object.fromEntries(query);
  const registrations = operator && !at.tenant ? [] : await allRows("/registrations", { query: { tenant: at.tenant }, signal });
  const labels = new Map(registrations.map((r) => [r.id, registrationName(r)]));
  const fields = [
    operator && (await tenantChoice({ label: "Tenant", none: "Choose one", value: at.tenant })),
    choiceField("registration", {
      label: "Registration",
      value: at.registration,
      options: [["", "All"], ...chosen(at.registration, labels), ...labels],
    }),
    choiceField("status", { label: "Status", value: at.status, options: [["", "All"], ...statuses.map((s) => [s, s])] }),
  ].filter(Boolean);
  const rare = [
    textField("type", { label: "Type", value: at.type, placeholder: "Group.*", mono: true }),
    timeField("since", { label: "Received since", value: at.since && new Date(at.since) }),
    timeField("until", { label: "and before", value: at.until && new Date(at.until) }),
  ];
  let paused = false;
  const live = el("input", { type: "checkbox", id: "live", checked: true, change: () => (paused = !live.checked) });
  const toggle = el("span", { class: "live" }, live, el("label", { for: "live" }, "Live"));
  return [heading("Deliveries", { actions: [toggle] }), filters(fields, rare), rowsOf(at, operator, labels, signal, () => paused)];
}

// chosen returns an option for a registration in the address that is not listed.
function chosen(id, labels) {
  return id && !labels.has(id) ? [[id, id]] : [];
}

function rowsOf(at, operator, labels, signal, paused) {
  if (operator && !at.tenant && !at.registration) return el("p", { class: "empty" }, "Choose a tenant to see its deliveries.");
  return list({
    path: "/deliveries",
    query: at,
    columns: deliveryColumns((id) => labels.get(id) ?? id),
    empty: "No delivery yet. They appear here as they happen.",
    signal,
    live: true,
    paused,
    label: "Deliveries",
    chart: deliveryChart,
  });
}
