// One event with its payload and deliveries.

import { call } from "../parts/call.js";
import { deliveryColumns } from "../parts/columns.js";
import { link, said } from "../parts/dom.js";
import { eventFacts } from "../parts/eventfacts.js";
import { list } from "../parts/list.js";
import { payload } from "../parts/payload.js";
import { heading, section } from "../parts/show.js";

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
