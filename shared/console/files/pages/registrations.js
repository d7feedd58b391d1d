// @ts-check

// The list of registrations.

import { registrationColumns } from "../parts/columns.js";
import { el, path } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { navigate } from "../parts/route.js";
import { heading } from "../parts/show.js";
import { tenantChoice } from "../parts/tenantchoice.js";

/** @param {PageContext} context */
export async function registrationsPage({ me, query, signal }) {
  const operator = me.scope === "operator";
  const tenant = query.get("tenant") ?? "";
  const actions = me.scope === "full" ? [el("a", { class: "button primary", href: path("registrations", "new") }, "New registration")] : [];
  const tenantField =
    operator &&
    (await tenantChoice({
      label: "Tenant",
      none: "Choose one",
      value: tenant,
      changed: (id) => navigate(path("registrations") + (id && "?tenant=" + encodeURIComponent(id))),
    }));
  const rows =
    operator && !tenant
      ? el("p", { class: "empty" }, "Choose a tenant to see its registrations.")
      : list({
          path: "/registrations",
          query: { tenant },
          columns: registrationColumns(),
          empty: "No registration yet. One says which events go to which endpoint of yours.",
          signal,
          label: "Registrations",
        });
  return [heading("Registrations", { actions }), tenantField && el("div", { class: "filters" }, tenantField.node), rows];
}
