// One source: for the operator all that is set, for a tenant what it may expect.

import { call } from "../parts/call.js";
import { ask, sheet } from "../parts/dialog.js";
import { button, code, el, link, path, said } from "../parts/dom.js";
import { kinds } from "../parts/facts.js";
import { text } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { grants } from "../parts/grants.js";
import { guide } from "../parts/guides.js";
import { list } from "../parts/list.js";
import { known } from "../parts/names.js";
import { go } from "../parts/route.js";
import { held, rotate } from "../parts/secrets.js";
import { copyable, facts, heading, more, pre, section } from "../parts/show.js";
import { granted, lastEvent, providerName } from "../parts/sources.js";
import { settings } from "../parts/sourcesettings.js";
import { when } from "../parts/words.js";

export async function sourcePage({ me, params, signal }) {
  const source = await call("GET", `/sources/${encodeURIComponent(params.id)}`, { signal });
  known("sources", source);
  return me.scope === "operator" ? operatorPage(source, signal) : tenantPage(source, me);
}

const crumbs = () => [link("sources", "Sources")];

async function tenantPage(source, me) {
  const keys = await kinds(source.provider);
  const add = el(
    "a",
    { class: "button primary", href: path("registrations", "new") + "?source=" + encodeURIComponent(source.id) },
    "New registration",
  );
  const actions = me.scope === "full" ? [add] : [];
  return [
    heading(said(source.name), { crumbs: crumbs(), actions }),
    facts([
      ["Provider", providerName(source.provider)],
      ["You may receive", granted(source)],
      ["Id", code(source.id)],
    ]),
    section("Routing keys", { about: "What a registration can pick events by." }, keyTable(keys)),
    section("Event types", { about: "The documented ones; others occur." }, typeList(source.event_types ?? [])),
  ];
}

function keyTable(keys) {
  return facts(keys.map(([key, about]) => [code(key), about]));
}

// typeList shows what each event type means, with a sample.
function typeList(types) {
  return el(
    "ul",
    { class: "types" },
    types.map((t) =>
      el(
        "li",
        {},
        code(t.name),
        " ",
        el("span", { class: "soft" }, t.about),
        t.sample && more("Sample", pre(JSON.stringify(t.sample, null, 2), `Sample of ${t.name}`)),
      ),
    ),
  );
}

async function operatorPage(source, signal) {
  const at = `/sources/${encodeURIComponent(source.id)}`;
  const again = () => go(location.pathname, { replace: true });
  return [
    heading(said(source.name), { crumbs: crumbs(), actions: [button("Delete", () => remove(source, at), { class: "danger" })] }),
    facts([
      ["Provider", providerName(source.provider)],
      ["SDKAppID", source.sdk_app_id && code(String(source.sdk_app_id))],
      ["Last event", lastEvent(source.id, signal)],
      ["Created", when(source.created)],
      ["Id", code(source.id)],
    ]),
    urls(source, at, signal),
    section(
      "Set-up at the provider",
      {},
      source.callback_url ? guide(source, source.callback_url) : el("p", {}, "Create a callback URL first."),
    ),
    credentials(source, at, again),
    await grants(source, at, signal),
    settings(source, at, again),
    recent(source, signal),
  ];
}

async function remove(source, at) {
  if (
    !(await ask(
      `Delete ${source.name}?`,
      "Its callback URLs end at once. What it delivered stays listed until its time is over.",
      "Delete source",
    ))
  )
    return;
  try {
    await call("DELETE", at);
  } catch (e) {
    if (
      e.status !== 409 ||
      !(await ask("It has registrations", "Deleting the source removes the registrations of all tenants on it.", "Delete both"))
    )
      throw e;
    await call("DELETE", at, { query: { force: true } });
  }
  go(path("sources"));
}

function urls(source, at, signal) {
  const rows = list({
    path: at + "/keys",
    signal,
    label: "Callback URLs",
    stacked: true,
    empty: "No callback URL: nothing can reach this source.",
    columns: [
      { name: "Callback URL", cell: (k) => copyable("callback URL", k.callback_url) },
      { name: "Label", cell: (k) => (k.label ? said(k.label) : "none") },
      { name: "Ends", cell: (k) => (k.until ? when(k.until) : "never") },
      { name: "Actions", cell: (k) => (k.until ? "" : urlActions(source, at, k, () => rows.reload())) },
    ],
  });
  const add = () =>
    sheet("New callback URL", "Events that come by it carry its label as a routing key.", (close) =>
      form({
        fields: [text("label", { label: "Label" })],
        submit: "Create callback URL",
        cancel: close,
        send: async (v, once) => {
          await call("POST", at + "/keys", { body: v, headers: { "Idempotency-Key": once } });
          close();
          rows.reload();
        },
      }),
    );
  return section(
    "Callback URLs",
    { about: "Whoever knows one can send events: treat them as secrets.", actions: [button("New callback URL", add)] },
    rows,
  );
}

function urlActions(source, at, key, done) {
  const of = `${at}/keys/${encodeURIComponent(key.id)}`;
  const end = async () => {
    if (!(await ask("End this callback URL?", "What the provider still sends there is refused at once.", "End it"))) return;
    await call("DELETE", of);
    done();
  };
  return el(
    "span",
    { class: "actions" },
    button("Rotate", () => rotate("Replace the callback URL", of + "/rotate", source.provider === "direct" ? "720h" : "24h", done)),
    button("End", end),
  );
}

function credentials(source, at, again) {
  if (source.provider === "tencent-chat") {
    const token = text("token", {
      label: "New token",
      type: "password",
      required: true,
      mono: true,
      hint: "As it is, or will be, in Tencent's console.",
    });
    const set = () => rotate("Set the token", at + "/token/rotate", "24h", again, [token]);
    return section(
      "Credentials",
      { actions: [button(source.tokens?.length > 0 ? "Replace the token" : "Set a token", set)] },
      held("Token", source.tokens, "No token: the address alone proves who calls."),
    );
  }
  if (source.provider === "direct") {
    const set = () => basicSheet(at, again);
    return section(
      "Credentials",
      { actions: [button(source.basic?.length > 0 ? "Replace the login" : "Set a login", set)] },
      held("Login and password", source.basic, "No login: the address alone proves who calls."),
    );
  }
  return null;
}

function basicSheet(at, again) {
  const login = text("login", { label: "Login", required: true, mono: true });
  const password = text("password", { label: "Password", type: "password", required: true, mono: true });
  const basic = {
    name: "basic",
    node: el("div", { class: "stack" }, login.node, password.node),
    read: () => ({ login: login.read() ?? "", password: password.read() ?? "" }),
  };
  return rotate("Set login and password", at + "/basic/rotate", "720h", again, [basic]);
}

function recent(source, signal) {
  const columns = [
    { name: "Event", cell: (e) => link(["events", e.id], said(e.type)) },
    { name: "Received", cell: (e) => when(e.received) },
    { name: "Label", wide: true, cell: (e) => said(e.label ?? "") },
  ];
  return section(
    "Newest events",
    { actions: [el("a", { class: "button", href: path("events") + "?source=" + encodeURIComponent(source.id) }, "All events")] },
    list({
      path: "/events",
      query: { source: source.id, limit: 10 },
      columns,
      empty: "Nothing came yet.",
      signal,
      live: true,
      label: "Newest events",
    }),
  );
}
