// @ts-check

// Columns of the lists of deliveries and of registrations.

import { el, link, userText } from "./dom.js";
import { badge } from "./badge.js";
import { matchSummary } from "./show.js";
import { when } from "./format.js";

// deliveryColumns returns the columns of a list of deliveries. nameOf returns the
// name of a registration.
/**
 * @param {(id: string) => string} [nameOf]
 * @returns {Column<API["Delivery"]>[]}
 */
export function deliveryColumns(nameOf = (id) => id) {
  return [
    { name: "Delivery", cell: (d) => link(["deliveries", d.id], userText(d.event_type)) },
    { name: "Status", cell: (d) => badge(d.status) },
    { name: "Received", cell: (d) => when(d.received) },
    { name: "Attempts", wide: true, cell: (d) => String(d.attempts_made) },
    { name: "Last answer", wide: true, cell: lastResponse },
    { name: "Registration", wide: true, cell: (d) => link(["registrations", d.registration], userText(nameOf(d.registration))) },
  ];
}

/** @param {API["Delivery"]} d */
function lastResponse(d) {
  if (!d.last_attempt) return "none yet";
  return String(d.last_attempt.status_code || d.last_attempt.class);
}

// registrationName returns the name that a registration is shown with.
/** @param {API["Registration"]} r */
export function registrationName(r) {
  return r.description || r.app_name || r.url;
}

// registrationColumns returns the columns of a list of registrations.
/** @returns {Column<API["Registration"]>[]} */
export function registrationColumns() {
  return [
    { name: "Registration", cell: (r) => link(["registrations", r.id], userText(r.description || r.app_name || r.url)) },
    { name: "State", cell: (r) => [badge(r.state), failing(r.health), r.why && el("span", { class: "soft" }, " ", userText(r.why))] },
    { name: "Event types", wide: true, cell: (r) => types(r.event_types) },
    { name: "Match", wide: true, cell: (r) => matchSummary(r.match, "all that is granted") },
    { name: "Endpoint", wide: true, cell: (r) => el("bdi", { class: "mono" }, r.url) },
  ];
}

// failing returns a badge if attempts fail.
/** @param {API["EndpointHealth"]} [h] */
export function failing(h) {
  return h?.failing_since && [" ", badge("failed", h.circuit === "open" ? "circuit open" : "failing")];
}

/** @param {string[]} names */
function types(names) {
  const shown = names.slice(0, 3).map((n) => el("code", { class: "type" }, n));
  return [shown, names.length > 3 && el("span", { class: "soft" }, ` and ${names.length - 3} more`)];
}
