// One source: for the operator all that is set, for a tenant what it may expect.

import { call } from "./call.js";
import { ask, sheet } from "./dialog.js";
import { button, code, el, link, path, said } from "./dom.js";
import { kinds } from "./facts.js";
import { choice, lines, match, text } from "./fields.js";
import { form } from "./form.js";
import { guide } from "./guides.js";
import { list } from "./list.js";
import { known, name } from "./names.js";
import { go } from "./route.js";
import { held, rotate } from "./secrets.js";
import { facts, heading, matching, copyable, more, pre, section } from "./show.js";
import { granted, lastEvent, providerName } from "./sources.js";
import { tenantChoice } from "./tenants.js";
import { when } from "./words.js";

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

async function grants(source, at, signal) {
  const keys = await kinds(source.provider);
  const rows = list({
    path: at + "/grants",
    signal,
    label: "Grants",
    empty: "No grant: no tenant can receive anything of this source.",
    columns: [
      { name: "Tenant", cell: (g) => link(["tenants", g.tenant], name("tenants", g.tenant)) },
      { name: "May receive", cell: (g) => matching(g.match, "the whole source") },
      { name: "Since", wide: true, cell: (g) => when(g.created) },
      { name: "Actions", cell: (g) => button("Revoke", () => revoke(at, g, () => rows.reload())) },
    ],
  });
  const add = async () => {
    const tenant = await tenantChoice({ label: "Tenant", required: true });
    const which = match("match", {
      label: "Only events with",
      kinds: keys,
      hint: "Keys AND, values OR, exact text. Without any: the whole source.",
    });
    return sheet("New grant", "A tenant's registrations only narrow what it is granted.", (close) =>
      form({
        fields: [tenant, which],
        submit: "Grant",
        cancel: close,
        send: async (v, once) => {
          await call("POST", at + "/grants", { body: v, headers: { "Idempotency-Key": once } });
          close();
          rows.reload();
        },
      }),
    );
  };
  return section("Grants", { actions: [button("New grant", add)] }, rows);
}

async function revoke(at, grant, done) {
  if (
    !(await ask(
      "Revoke this grant?",
      "Pending deliveries that it let through are cancelled and their payloads hidden from the tenant.",
      "Revoke",
    ))
  )
    return;
  await call("DELETE", `${at}/grants/${encodeURIComponent(grant.id)}`);
  done();
}

function settings(source, at, again) {
  const fields = [
    text("name", { label: "Name", value: source.name, required: true }),
    lines("ignore_event_types", {
      label: "Event types to drop",
      value: source.ignore_event_types,
      clears: true,
      hint: "Acknowledged and counted, but not kept; one a line, * may end an entry.",
    }),
    choice("history", {
      label: "History",
      value: source.history,
      required: true,
      options: [
        ["full", "every event and delivery"],
        ["failures", "only what was not delivered at once"],
      ],
    }),
    ...own(source),
  ];
  const send = async ({ api_key, base_url, ...v }) => {
    if (source.provider === "smartbots") v.upstream = { api_key, base_url };
    await call("PATCH", at, { body: v });
    again();
  };
  return section("Settings", {}, more("Change", form({ fields, submit: "Save", send })), erasure(source));
}

function own(source) {
  if (source.provider === "direct")
    return [
      lines("allow", { label: "Addresses that may call", value: source.allow, clears: true, hint: "Addresses or prefixes, one a line; none: all." }),
    ];
  if (source.provider === "smartbots")
    return [
      text("api_key", {
        label: "SmartBots developer API key",
        type: "password",
        value: source.upstream?.api_key,
        mono: true,
        hint: "*** keeps what is set.",
      }),
      text("base_url", { label: "Address of the SmartBots API", value: source.upstream?.base_url, mono: true }),
    ];
  return [];
}

// erasure answers a data subject's request.
function erasure(source) {
  const open = async () => {
    const which = match("match", {
      label: "Of events with",
      kinds: await kinds(source.provider),
      hint: "Payloads and routing keys of the events that match are erased for good.",
    });
    return sheet("Erase what is kept", "For the request of somebody whose data passed through.", (close) =>
      form({
        fields: [which],
        submit: "Erase",
        danger: true,
        cancel: close,
        send: async (v, once) => {
          const job = await call("POST", "/erasures", {
            body: { source: source.id, match: v.match ?? {} },
            headers: { "Idempotency-Key": once },
          });
          close();
          go(path("jobs", job.id));
        },
      }),
    );
  };
  return el("p", {}, button("Erase events of a person…", open, { class: "quiet" }));
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
