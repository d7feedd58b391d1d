// @ts-check

// A field for a tenant, and a tenant's state.

import { allRows } from "./call.js";
import { choiceField } from "./fields.js";
import { rememberName } from "./names.js";

// tenantChoice returns a field for one of the tenants.
export async function tenantChoice(o) {
  const tenants = await allRows("/tenants");
  for (const t of tenants) rememberName("tenants", t);
  const options = tenants.map((t) => [t.id, t.name]);
  return choiceField("tenant", { ...o, options: o.required ? options : [["", o.none], ...options] });
}

/** @param {API["Tenant"]} t */
export function stateOf(t) {
  if (t.removing) return "removing";
  return t.disabled ? "disabled" : "enabled";
}
