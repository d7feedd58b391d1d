// @ts-check

// What several pages show of a source.

import { call } from "./call.js";
import { el, fill } from "./dom.js";
import { matchSummary } from "./show.js";
import { ago, when } from "./format.js";

export const providers = [
  ["tencent-chat", "Tencent Cloud Chat"],
  ["direct", "Direct messaging"],
  ["smartbots", "SmartBots"],
];

// providerName returns what people call a provider.
export function providerName(id) {
  return providers.find(([p]) => p === id)?.[1] ?? id;
}

// lastEvent tells when a source's newest event came; silence is no proof of
// health where a provider may forget a callback.
/**
 * @param {string} source
 * @param {AbortSignal} signal
 */
export function lastEvent(source, signal) {
  const place = el("span", {}, "…");
  call("GET", "/events", { query: { source, limit: 1 }, signal })
    .then((page) =>
      fill(
        place,
        page.data[0] ? [when(page.data[0].received), el("span", { class: "soft" }, " · ", ago(page.data[0].received))] : "none kept",
      ),
    )
    .catch(() => fill(place, "unknown"));
  return place;
}

// granted shows what a tenant may receive of a source.
/** @param {API["Source"]} s */
export function granted(s) {
  return (s.matches ?? [s.match]).map((m) => el("div", {}, matchSummary(m)));
}
