// @ts-check

// One source: for the operator its settings, for a tenant its event types and
// routing keys.

import { call } from "../parts/call.js";
import { confirmDialog, formDialog } from "../parts/dialog.js";
import { button, code, el, link, path, userText } from "../parts/dom.js";
import { routingKeys } from "../parts/facts.js";
import { textField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { grants } from "../parts/grants.js";
import { guide } from "../parts/guides.js";
import { list } from "../parts/list.js";
import { rememberName } from "../parts/names.js";
import { navigate } from "../parts/route.js";
import { validity, rotateDialog } from "../parts/secrets.js";
import { copyable, properties, heading, disclosure, pre, section } from "../parts/show.js";
import { granted, lastEvent, providerName } from "../parts/sources.js";
import { settings } from "../parts/sourcesettings.js";
import { when } from "../parts/format.js";

/** @param {PageContext} context */
export async function sourcePage({ me, params, signal }) {
  const source = await call("GET", `/sources/${encodeURIComponent(params.id)}`, { signal });
  rememberName("sources", source);
  return me.scope === "operator" ? operatorPage(source, signal) : tenantPage(source, me);
}

const crumbs = () => [link("sources", "Sources")];

/**
 * @param {API["Source"]} source
 * @param {API["Me"]} me
 */
async function tenantPage(source, me) {
  const keys = await routingKeys(source.provider);
  const add = el(
    "a",
    { class: "button primary", href: path("registrations", "new") + "?source=" + encodeURIComponent(source.id) },
    "New registration",
  );
  const actions = me.scope === "full" ? [add] : [];
  return [
    heading(userText(source.name), { crumbs: crumbs(), actions }),
    properties([
      ["Provider", providerName(source.provider)],
      ["You may receive", granted(source)],
      ["Id", code(source.id)],
    ]),
    section("Routing keys", { about: "What a registration can pick events by." }, keyTable(keys)),
    section("Event types", { about: "The documented ones; others occur." }, typeList(source.event_types ?? [])),
  ];
}

function keyTable(keys) {
  return properties(keys.map(([key, about]) => [code(key), about]));
}

// typeList shows what each event type means, with a sample.
/** @param {API["EventType"][]} types */
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
        Boolean(t.sample) && disclosure("Sample", pre(JSON.stringify(t.sample, null, 2), `Sample of ${t.name}`)),
      ),
    ),
  );
}

/**
 * @param {API["Source"]} source
 * @param {AbortSignal} signal
 */
async function operatorPage(source, signal) {
  const at = /** @type {const} */ (`/sources/${encodeURIComponent(source.id)}`);
  const reload = () => navigate(location.pathname, { replace: true });
  return [
    heading(userText(source.name), { crumbs: crumbs(), actions: [button("Delete", () => remove(source, at), { class: "danger" })] }),
    properties([
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
    credentials(source, at, reload),
    await grants(source, at, signal),
    settings(source, at, reload),
    recent(source, signal),
  ];
}

/**
 * @param {API["Source"]} source
 * @param {`/sources/${string}`} at
 */
async function remove(source, at) {
  if (
    !(await confirmDialog(
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
      !(await confirmDialog("It has registrations", "Deleting the source removes the registrations of all tenants on it.", "Delete both"))
    )
      throw e;
    await call("DELETE", at, { query: { force: true } });
  }
  navigate(path("sources"));
}

/**
 * @param {API["Source"]} source
 * @param {`/sources/${string}`} at
 * @param {AbortSignal} signal
 */
function urls(source, at, signal) {
  const rows = list({
    path: `${at}/keys`,
    signal,
    label: "Callback URLs",
    stacked: true,
    empty: "No callback URL: nothing can reach this source.",
    columns: [
      { name: "Callback URL", cell: (k) => copyable("callback URL", k.callback_url) },
      { name: "Label", cell: (k) => (k.label ? userText(k.label) : "none") },
      { name: "Ends", cell: (k) => (k.until ? when(k.until) : "never") },
      { name: "Actions", cell: (k) => (k.until ? "" : urlActions(source, at, k, () => rows.reload())) },
    ],
  });
  const add = () =>
    formDialog("New callback URL", "Events that come by it carry its label as a routing key.", (close) =>
      form({
        fields: [textField("label", { label: "Label" })],
        submit: "Create callback URL",
        cancel: close,
        send: async (v, retryKey) => {
          await call("POST", `${at}/keys`, { body: v, headers: { "Idempotency-Key": retryKey } });
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

/**
 * @param {API["Source"]} source
 * @param {`/sources/${string}`} at
 * @param {API["CallbackKey"]} key
 */
function urlActions(source, at, key, done) {
  const keyPath = /** @type {const} */ (`${at}/keys/${encodeURIComponent(key.id)}`);
  const end = async () => {
    if (!(await confirmDialog("End this callback URL?", "What the provider still sends there is refused at once.", "End it"))) return;
    await call("DELETE", keyPath);
    done();
  };
  return el(
    "span",
    { class: "actions" },
    button("Rotate", () => rotateDialog("Replace the callback URL", `${keyPath}/rotate`, source.provider === "direct" ? "720h" : "24h", done)),
    button("End", end),
  );
}

/**
 * @param {API["Source"]} source
 * @param {`/sources/${string}`} at
 */
function credentials(source, at, reload) {
  if (source.provider === "tencent-chat") {
    const token = textField("token", {
      label: "New token",
      type: "password",
      required: true,
      mono: true,
      hint: "As it is, or will be, in Tencent's console.",
    });
    const set = () => rotateDialog("Set the token", at + "/token/rotate", "24h", reload, [token]);
    return section(
      "Credentials",
      { actions: [button(source.tokens?.length ? "Replace the token" : "Set a token", set)] },
      validity("Token", source.tokens, "No token: the address alone proves who calls."),
    );
  }
  if (source.provider === "direct") {
    const set = () => setLogin(at, reload);
    return section(
      "Credentials",
      { actions: [button(source.basic?.length ? "Replace the login" : "Set a login", set)] },
      validity("Login and password", source.basic, "No login: the address alone proves who calls."),
    );
  }
  return null;
}

/** @param {`/sources/${string}`} at */
function setLogin(at, reload) {
  const login = textField("login", { label: "Login", required: true, mono: true });
  const password = textField("password", { label: "Password", type: "password", required: true, mono: true });
  const basic = {
    name: "basic",
    node: el("div", { class: "stack" }, login.node, password.node),
    read: () => ({ login: login.read() ?? "", password: password.read() ?? "" }),
  };
  return rotateDialog("Set login and password", at + "/basic/rotate", "720h", reload, [basic]);
}

/**
 * @param {API["Source"]} source
 * @param {AbortSignal} signal
 */
function recent(source, signal) {
  /** @type {Column<API["Event"]>[]} */
  const columns = [
    { name: "Event", cell: (e) => link(["events", e.id], userText(e.type)) },
    { name: "Received", cell: (e) => when(e.received) },
    { name: "Label", wide: true, cell: (e) => userText(e.label ?? "") },
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
