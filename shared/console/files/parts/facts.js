// @ts-check

// Facts about providers and schedules that no call of the API returns.

const loaded = fetch(new URL("../facts.json", import.meta.url)).then((r) => r.json());

// loadFacts returns all facts.
export function loadFacts() {
  return loaded;
}

// routingKeys returns the routing keys of a provider with their descriptions.
export async function routingKeys(provider) {
  return Object.entries((await loaded).routing_keys[provider] ?? { label: "label of the callback URL" });
}

// waits returns the waits of a schedule, in the API's notation of durations.
export async function waits(schedule) {
  const { schedules } = await loaded;
  if (Array.isArray(schedule)) return schedule;
  const s = schedules[schedule] ?? schedules.standard;
  return Array.isArray(s) ? s : Array(s.times).fill(s.wait);
}

// matchesPatterns reports whether patterns want an event type, by the rules of the
// gateway.
export function matchesPatterns(patterns, type, operational) {
  if (type in operational) return patterns.includes(type);
  return patterns.some((p) => (p.endsWith("*") ? type.startsWith(p.slice(0, -1)) : p === type));
}
