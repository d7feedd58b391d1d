// @ts-check

// The grants of a source.

import { call } from "./call.js";
import { confirmDialog, formDialog } from "./dialog.js";
import { button, link } from "./dom.js";
import { routingKeys } from "./facts.js";
import { matchField } from "./fields.js";
import { form } from "./form.js";
import { list } from "./list.js";
import { nameOf } from "./names.js";
import { matchSummary, section } from "./show.js";
import { tenantChoice } from "./tenantchoice.js";
import { when } from "./format.js";

/**
 * @param {API["Source"]} source
 * @param {`/sources/${string}`} at
 * @param {AbortSignal} signal
 */
export async function grants(source, at, signal) {
  const keys = await routingKeys(source.provider);
  const rows = list({
    path: `${at}/grants`,
    signal,
    label: "Grants",
    empty: "No grant: no tenant can receive anything of this source.",
    columns: [
      { name: "Tenant", cell: (g) => link(["tenants", g.tenant], nameOf("tenants", g.tenant)) },
      { name: "May receive", cell: (g) => matchSummary(g.match, "the whole source") },
      { name: "Since", wide: true, cell: (g) => when(g.created) },
      { name: "Actions", cell: (g) => button("Revoke", () => revoke(at, g, () => rows.reload())) },
    ],
  });
  const add = async () => {
    const tenant = await tenantChoice({ label: "Tenant", required: true });
    const matches = matchField("match", {
      label: "Only events with",
      kinds: keys,
      hint: "Keys AND, values OR, exact text. Without any: the whole source.",
    });
    return formDialog("New grant", "A tenant's registrations only narrow what it is granted.", (close) =>
      form({
        fields: [tenant, matches],
        submit: "Grant",
        cancel: close,
        send: async (v, retryKey) => {
          await call("POST", `${at}/grants`, { body: v, headers: { "Idempotency-Key": retryKey } });
          close();
          rows.reload();
        },
      }),
    );
  };
  return section("Grants", { actions: [button("New grant", add)] }, rows);
}

/**
 * @param {`/sources/${string}`} at
 * @param {API["Grant"]} grant
 */
async function revoke(at, grant, done) {
  if (
    !(await confirmDialog(
      "Revoke this grant?",
      "Pending deliveries that it let through are cancelled and their payloads hidden from the tenant.",
      "Revoke",
    ))
  )
    return;
  await call("DELETE", `${at}/grants/${encodeURIComponent(grant.id)}`);
  done();
}
