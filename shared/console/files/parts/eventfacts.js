// What is known of an event besides its payload.

import { code, link, said } from "./dom.js";
import { name } from "./names.js";
import { facts, matching } from "./show.js";
import { when } from "./words.js";

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
