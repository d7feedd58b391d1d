// @ts-check

// One tenant: its keys, registrations and limits.

import { call } from "../parts/call.js";
import { registrationColumns } from "../parts/columns.js";
import { confirmDialog } from "../parts/dialog.js";
import { button, code, el, link, path, userText } from "../parts/dom.js";
import { checkField, numberField, textField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { keyList } from "../parts/keylist.js";
import { list } from "../parts/list.js";
import { badge } from "../parts/badge.js";
import { rememberName } from "../parts/names.js";
import { navigate } from "../parts/route.js";
import { properties, heading, disclosure, section } from "../parts/show.js";
import { stateOf } from "../parts/tenantchoice.js";
import { when } from "../parts/format.js";

/** @param {PageContext} context */
export async function tenantPage({ params, signal }) {
  const at = /** @type {const} */ (`/tenants/${encodeURIComponent(params.id)}`);
  const t = await call("GET", at, { signal });
  rememberName("tenants", t);
  const reload = () => navigate(location.pathname, { replace: true });
  const keys = keyList({ tenant: t.id, signal });
  return [
    heading(userText(t.name), { crumbs: [link("tenants", "Tenants")], actions: tenantActions(t, at, reload) }),
    properties([
      ["State", badge(stateOf(t))],
      ["Created", when(t.created)],
      ["Id", code(t.id)],
    ]),
    section("Keys", { about: "A key's text is shown once, when it is made.", actions: [keys.add] }, keys.rows),
    section(
      "Registrations",
      { actions: [el("a", { class: "button", href: path("deliveries") + "?tenant=" + encodeURIComponent(t.id) }, "Deliveries")] },
      list({
        path: "/registrations",
        query: { tenant: t.id },
        columns: registrationColumns(),
        empty: "None yet. The tenant makes them with its key.",
        signal,
        label: "Registrations",
      }),
    ),
    limits(t, at, reload),
  ];
}

/**
 * @param {API["Tenant"]} t
 * @param {`/tenants/${string}`} at
 */
function tenantActions(t, at, reload) {
  const toggle = async () => {
    if (
      !t.disabled &&
      !(await confirmDialog(`Disable ${t.name}?`, "Its keys are refused and its deliveries are held until it is enabled.", "Disable"))
    )
      return;
    await call("POST", `${at}/${t.disabled ? "enable" : "disable"}`);
    reload();
  };
  const remove = async () => {
    if (
      !(await confirmDialog(
        `Remove ${t.name}?`,
        "It is disabled at once, and all its registrations, keys, deliveries and grants are removed for good.",
        "Remove tenant",
      ))
    )
      return;
    const job = await call("DELETE", at);
    navigate(path("jobs", job.id));
  };
  return [button(t.disabled ? "Enable" : "Disable", toggle), button("Remove", remove, { class: "danger" })];
}

/** @type {[Exclude<keyof API["Limits"], "require_challenge">, string, number | string][]} */
const limitNames = [
  ["registrations_per_source", "Registrations per source", 1],
  ["api_calls_per_second", "API calls per second", "any"],
  ["deliveries_per_second", "Deliveries per second, per registration", "any"],
  ["concurrency", "POSTs at once, per registration and process", 1],
  ["jobs", "Jobs at once", 1],
];

/**
 * @param {API["Tenant"]} t
 * @param {`/tenants/${string}`} at
 */
function limits(t, at, reload) {
  const shown = properties([
    ...limitNames.map(([name, label]) => /** @type {[string, string]} */ ([label, t.limits[name] ? String(t.limits[name]) : "no limit"])),
    ["Endpoints must consent", t.limits.require_challenge ? "yes" : "no"],
  ]);
  const challenge = {
    label: "Endpoints must consent",
    value: t.limits.require_challenge,
    hint: "An endpoint must answer an OPTIONS request with WebHook-Allowed-Origin before anything is sent to it. Standard format alone.",
  };
  const fields = [
    ...limitNames.map(([name, label, step]) => numberField(name, { label, step, value: t.limits[name] })),
    checkField("require_challenge", challenge),
  ];
  const name = textField("name", { label: "Name", value: t.name, required: true });
  const send = async ({ name, ...v }) => {
    await call("PATCH", at, { body: { name, limits: v } });
    reload();
  };
  return section(
    "Limits",
    {},
    shown,
    disclosure(
      "Change name and limits",
      el("p", { class: "hint" }, "What is left empty is the default."),
      form({ fields: [name, ...fields], submit: "Save", send }),
    ),
  );
}
