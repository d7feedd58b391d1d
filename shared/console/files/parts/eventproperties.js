// @ts-check

// An event without its payload.

import { code, link, userText } from "./dom.js";
import { nameOf } from "./names.js";
import { properties, matchSummary } from "./show.js";
import { when } from "./format.js";

// eventProperties shows all of an event except its payload.
/** @param {API["Event"]} event */
export function eventProperties(event) {
  return properties([
    ["Received", when(event.received)],
    ["Happened", event.time && when(event.time)],
    ["Source", link(["sources", event.source], nameOf("sources", event.source))],
    ["Label", event.label && userText(event.label)],
    ["Routing keys", event.keys && matchSummary(event.keys)],
    ["Content type", event.content_type && userText(event.content_type)],
    ["Event", link(["events", event.id], code(event.id))],
  ]);
}
