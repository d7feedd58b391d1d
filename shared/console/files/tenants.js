// Tenants: the list, one of them, and the choice of one elsewhere.

import { all, call } from "./call.js";
import { ask, sheet, tell } from "./dialog.js";
import { button, code, el, link, path, said } from "./dom.js";
import { check, choice, number_, text } from "./fields.js";
import { form } from "./form.js";
import { keyList } from "./keys.js";
import { list } from "./list.js";
import { mark } from "./marks.js";
import { known } from "./names.js";
import { registrationColumns } from "./registrations.js";
import { go } from "./route.js";
import { facts, heading, more, section } from "./show.js";
import { when } from "./words.js";

// tenantChoice returns a field for one of the tenants.
export async function tenantChoice(o) {
  const tenants = await all("/tenants");
  for (const t of tenants) known("tenants", t);
  const options = tenants.map((t) => [t.id, t.name]);
  return choice("tenant", { ...o, options: o.required ? options : [["", o.none], ...options] });
}

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

function stateOf(t) {
  if (t.removing) return "removing";
  return t.disabled ? "disabled" : "enabled";
}

export async function tenantPage({ params, signal }) {
  const at = `/tenants/${encodeURIComponent(params.id)}`;
  const t = await call("GET", at, { signal });
  known("tenants", t);
  const again = () => go(location.pathname, { replace: true });
  const keys = keyList({ tenant: t.id, signal });
  return [
    heading(said(t.name), { crumbs: [link("tenants", "Tenants")], actions: tenantActions(t, at, again) }),
    facts([
      ["State", mark(stateOf(t))],
      ["Created", when(t.created)],
      ["Id", code(t.id)],
    ]),
    section("Keys", { about: "A key's text is told once, when it is made.", actions: [keys.add] }, keys.rows),
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
    limits(t, at, again),
  ];
}

function tenantActions(t, at, again) {
  const toggle = async () => {
    if (
      !t.disabled &&
      !(await ask(`Disable ${t.name}?`, "Its keys are refused and its deliveries are held until it is enabled.", "Disable"))
    )
      return;
    await call("POST", `${at}/${t.disabled ? "enable" : "disable"}`);
    again();
  };
  const remove = async () => {
    if (
      !(await ask(
        `Remove ${t.name}?`,
        "It is disabled at once, and all its registrations, keys, deliveries and grants are removed for good.",
        "Remove tenant",
      ))
    )
      return;
    const job = await call("DELETE", at);
    go(path("jobs", job.id));
  };
  return [button(t.disabled ? "Enable" : "Disable", toggle), button("Remove", remove, { class: "danger" })];
}

const limitNames = [
  ["registrations_per_source", "Registrations per source", 1],
  ["api_calls_per_second", "API calls per second", "any"],
  ["deliveries_per_second", "Deliveries per second, per registration", "any"],
  ["concurrency", "POSTs at once, per registration and process", 1],
  ["jobs", "Jobs at once", 1],
];

function limits(t, at, again) {
  const shown = facts([
    ...limitNames.map(([name, label]) => [label, t.limits[name] ? String(t.limits[name]) : "no limit"]),
    ["Endpoints must consent", t.limits.require_challenge ? "yes" : "no"],
  ]);
  const challenge = {
    label: "Endpoints must consent",
    value: t.limits.require_challenge,
    hint: "An endpoint must answer an OPTIONS request with WebHook-Allowed-Origin before anything is sent to it. Standard format alone.",
  };
  const fields = [
    ...limitNames.map(([name, label, step]) => number_(name, { label, step, value: t.limits[name] })),
    check("require_challenge", challenge),
  ];
  const name = text("name", { label: "Name", value: t.name, required: true });
  const send = async ({ name, ...v }) => {
    await call("PATCH", at, { body: { name, limits: v } });
    again();
  };
  return section(
    "Limits",
    {},
    shown,
    more(
      "Change name and limits",
      el("p", { class: "hint" }, "What is left empty is the default."),
      form({ fields: [name, ...fields], submit: "Save", send }),
    ),
  );
}
