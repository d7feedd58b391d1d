// @ts-check

// One event with its payload and deliveries.

import { call } from "../parts/call.js";
import { deliveryColumns } from "../parts/columns.js";
import { link, userText } from "../parts/dom.js";
import { eventProperties } from "../parts/eventproperties.js";
import { list } from "../parts/list.js";
import { payload } from "../parts/payload.js";
import { heading, section } from "../parts/show.js";

/** @param {PageContext} context */
export async function eventPage({ params, signal }) {
  const event = await call("GET", `/events/${encodeURIComponent(params.id)}`, { signal });
  return [
    heading(userText(event.type), { crumbs: [link("events", "Events")] }),
    eventProperties(event),
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
