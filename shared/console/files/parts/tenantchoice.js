// The choice of a tenant, and its state.

import { all } from "./call.js";
import { choice } from "./fields.js";
import { known } from "./names.js";

// tenantChoice returns a field for one of the tenants.
export async function tenantChoice(o) {
  const tenants = await all("/tenants");
  for (const t of tenants) known("tenants", t);
  const options = tenants.map((t) => [t.id, t.name]);
  return choice("tenant", { ...o, options: o.required ? options : [["", o.none], ...options] });
}

export function stateOf(t) {
  if (t.removing) return "removing";
  return t.disabled ? "disabled" : "enabled";
}
