// The list of tenants, and a new one.

import { call } from "../parts/call.js";
import { sheet, tell } from "../parts/dialog.js";
import { button, code, link, path, said } from "../parts/dom.js";
import { text } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { list } from "../parts/list.js";
import { mark } from "../parts/marks.js";
import { go } from "../parts/route.js";
import { heading } from "../parts/show.js";
import { stateOf } from "../parts/tenantchoice.js";
import { when } from "../parts/words.js";

export function tenantsPage({ signal }) {
  const rows = list({
    path: "/tenants",
    signal,
    label: "Tenants",
    empty: "No tenant yet. A tenant owns registrations and keys, and receives what you grant it.",
    columns: [
      { name: "Tenant", cell: (t) => link(["tenants", t.id], said(t.name)) },
      { name: "State", cell: (t) => mark(stateOf(t)) },
      { name: "Id", wide: true, cell: (t) => code(t.id) },
      { name: "Created", wide: true, cell: (t) => when(t.created) },
    ],
  });
  const add = () =>
    sheet("New tenant", "", (close) =>
      form({
        fields: [text("name", { label: "Name", required: true })],
        submit: "Create tenant",
        cancel: close,
        send: async (v, once) => {
          const made = await call("POST", "/tenants", { body: v, headers: { "Idempotency-Key": once } });
          close();
          await tell(`First key of ${made.name}`, "API key", made.api_key, made.note);
          go(path("tenants", made.id));
        },
      }),
    );
  return [heading("Tenants", { actions: [button("New tenant", add, { class: "primary" })] }), rows];
}
