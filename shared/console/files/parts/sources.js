// @ts-check

// Parts of a source that several pages show.

import { call } from "./call.js";
import { el, fill } from "./dom.js";
import { matchSummary } from "./show.js";
import { ago, when } from "./format.js";

export const providers = [
  ["tencent-chat", "Tencent Cloud Chat"],
  ["direct", "Direct messaging"],
  ["smartbots", "SmartBots"],
];

// providerName returns the name that a provider is shown with.
export function providerName(id) {
  return providers.find(([p]) => p === id)?.[1] ?? id;
}

// lastEvent shows when a source's newest event came. People need it where a
// provider may drop a callback URL without notice, as SmartBots does.
/**
 * @param {string} source
 * @param {AbortSignal} signal
 */
export function lastEvent(source, signal) {
  const element = el("span", {}, "…");
  call("GET", "/events", { query: { source, limit: 1 }, signal })
    .then((page) =>
      fill(
        element,
        page.data[0] ? [when(page.data[0].received), el("span", { class: "soft" }, " · ", ago(page.data[0].received))] : "none kept",
      ),
    )
    .catch(() => fill(element, "unknown"));
  return element;
}

// granted shows what a tenant may receive of a source.
/** @param {API["Source"]} s */
export function granted(s) {
  return (s.matches ?? [s.match]).map((m) => el("div", {}, matchSummary(m)));
}
