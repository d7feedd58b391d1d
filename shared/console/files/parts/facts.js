// @ts-check

// Facts about providers and schedules that no call of the API tells.

const loaded = fetch(new URL("../facts.json", import.meta.url)).then((r) => r.json());

// facts returns them all.
export function facts() {
  return loaded;
}

// routingKeys returns the routing keys of a provider, each with what it is.
export async function routingKeys(provider) {
  return Object.entries((await loaded).routing_keys[provider] ?? { label: "label of the callback URL" });
}

// waits returns the waits of a schedule as durations of the API.
export async function waits(schedule) {
  const { schedules } = await loaded;
  if (Array.isArray(schedule)) return schedule;
  const s = schedules[schedule] ?? schedules.standard;
  return Array.isArray(s) ? s : Array(s.times).fill(s.wait);
}

// wanted reports whether patterns name an event type, as the gateway decides it.
export function wanted(patterns, type, operational) {
  if (type in operational) return patterns.includes(type);
  return patterns.some((p) => (p.endsWith("*") ? type.startsWith(p.slice(0, -1)) : p === type));
}
