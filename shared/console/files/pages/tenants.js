// @ts-check

// The list of tenants, and a new one.

import { call } from "../parts/call.js";
import { formDialog, secretDialog } from "../parts/dialog.js";
import { button, code, link, path, userText } from "../parts/dom.js";
import { textField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { list } from "../parts/list.js";
import { badge } from "../parts/badge.js";
import { navigate } from "../parts/route.js";
import { heading } from "../parts/show.js";
import { stateOf } from "../parts/tenantchoice.js";
import { when } from "../parts/format.js";

/** @param {PageContext} context */
export function tenantsPage({ signal }) {
  const rows = list({
    path: "/tenants",
    signal,
    label: "Tenants",
    empty: "No tenant yet. A tenant owns registrations and keys, and receives what you grant it.",
    columns: [
      { name: "Tenant", cell: (t) => link(["tenants", t.id], userText(t.name)) },
      { name: "State", cell: (t) => badge(stateOf(t)) },
      { name: "Id", wide: true, cell: (t) => code(t.id) },
      { name: "Created", wide: true, cell: (t) => when(t.created) },
    ],
  });
  const add = () =>
    formDialog("New tenant", "", (close) =>
      form({
        fields: [textField("name", { label: "Name", required: true })],
        submit: "Create tenant",
        cancel: close,
        send: async (v, retryKey) => {
          const tenant = await call("POST", "/tenants", { body: v, headers: { "Idempotency-Key": retryKey } });
          close();
          await secretDialog(`First key of ${tenant.name}`, "API key", tenant.api_key, tenant.note);
          navigate(path("tenants", tenant.id));
        },
      }),
    );
  return [heading("Tenants", { actions: [button("New tenant", add, { class: "primary" })] }), rows];
}
