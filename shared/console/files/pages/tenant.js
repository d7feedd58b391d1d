// One tenant: its keys, registrations and limits.

import { call } from "../parts/call.js";
import { registrationColumns } from "../parts/columns.js";
import { ask } from "../parts/dialog.js";
import { button, code, el, link, path, said } from "../parts/dom.js";
import { check, number_, text } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { keyList } from "../parts/keylist.js";
import { list } from "../parts/list.js";
import { mark } from "../parts/marks.js";
import { known } from "../parts/names.js";
import { go } from "../parts/route.js";
import { facts, heading, more, section } from "../parts/show.js";
import { stateOf } from "../parts/tenantchoice.js";
import { when } from "../parts/words.js";

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
