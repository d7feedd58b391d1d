// Deliveries: the list that stays up to date.

import { all } from "./call.js";
import { deliveryChart } from "./chart.js";
import { el, link, said } from "./dom.js";
import { choice, text, time } from "./fields.js";
import { filters } from "./filter.js";
import { list } from "./list.js";
import { mark } from "./marks.js";
import { heading } from "./show.js";
import { tenantChoice } from "./tenants.js";
import { when } from "./words.js";

const statuses = ["pending", "succeeded", "failed", "held", "cancelled"];

// deliveryColumns are those of any list of deliveries. named shows the name of
// a registration.
export function deliveryColumns(named = (id) => id) {
  return [
    { name: "Delivery", cell: (d) => link(["deliveries", d.id], said(d.event_type)) },
    { name: "Status", cell: (d) => mark(d.status) },
    { name: "Received", cell: (d) => when(d.received) },
    { name: "Attempts", wide: true, cell: (d) => String(d.attempts_made) },
    { name: "Last answer", wide: true, cell: lastAnswer },
    { name: "Registration", wide: true, cell: (d) => link(["registrations", d.registration], said(named(d.registration))) },
  ];
}

function lastAnswer(d) {
  if (!d.last_attempt) return "none yet";
  return String(d.last_attempt.status_code || d.last_attempt.class);
}

export async function deliveriesPage({ me, query, signal }) {
  const operator = me.scope === "operator";
  const at = Object.fromEntries(query);
  const registrations = operator && !at.tenant ? [] : await all("/registrations", { query: { tenant: at.tenant }, signal });
  const labels = new Map(registrations.map((r) => [r.id, registrationName(r)]));
  const fields = [
    operator && (await tenantChoice({ label: "Tenant", none: "Choose one", value: at.tenant })),
    choice("registration", {
      label: "Registration",
      value: at.registration,
      options: [["", "All"], ...chosen(at.registration, labels), ...labels],
    }),
    choice("status", { label: "Status", value: at.status, options: [["", "All"], ...statuses.map((s) => [s, s])] }),
  ].filter(Boolean);
  const rare = [
    text("type", { label: "Type", value: at.type, placeholder: "Group.*", mono: true }),
    time("since", { label: "Received since", value: at.since && new Date(at.since) }),
    time("until", { label: "and before", value: at.until && new Date(at.until) }),
  ];
  let paused = false;
  const live = el("input", { type: "checkbox", id: "live", checked: true, change: () => (paused = !live.checked) });
  const toggle = el("span", { class: "live" }, live, el("label", { for: "live" }, "Live"));
  return [heading("Deliveries", { actions: [toggle] }), filters(fields, rare), rowsOf(at, operator, labels, signal, () => paused)];
}

// chosen keeps a registration in the filter that is not among those listed.
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

// registrationName is what people call a registration.
export function registrationName(r) {
  return r.description || r.app_name || r.url;
}
