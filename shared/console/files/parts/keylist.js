// @ts-check

// API keys of a tenant, or of the account that signed in.

import { call } from "./call.js";
import { confirmDialog, formDialog, secretDialog } from "./dialog.js";
import { button, code, el, userText } from "./dom.js";
import { choiceField, textField, timeField } from "./fields.js";
import { form } from "./form.js";
import { list } from "./list.js";
import { rotateDialog } from "./secrets.js";
import { when } from "./format.js";

const scopes = [
  ["full", "full: registrations, deliveries, keys"],
  ["read", "read: look, change nothing"],
  ["set_http_callback", "set_http_callback: that one call"],
];

// keyList returns the list of API keys of a tenant, or of the account that signed
// in, and a button that adds one.
/** @param {{ tenant?: string, operator?: boolean, own?: string, signal: AbortSignal }} options */
export function keyList({ tenant, operator = false, own, signal }) {
  const query = { tenant };
  const rows = list({
    path: "/keys",
    query,
    signal,
    label: "Keys",
    empty: operator ? "No key but the operator's own, which the deployment sets." : "No key.",
    columns: [
      { name: "Name", cell: (k) => [userText(k.name || "unnamed"), k.id === own && el("span", { class: "soft" }, " (this session)")] },
      { name: "Scope", cell: (k) => k.scope },
      { name: "Id", wide: true, cell: (k) => code(k.id) },
      { name: "Created", wide: true, cell: (k) => when(k.created) },
      {
        name: "Expires",
        cell: (k) => [when(k.expires), (k.old ?? []).map((o) => el("div", { class: "soft" }, "old one until ", when(o.until)))],
      },
      { name: "Actions", cell: (k) => actions(k, query, () => rows.reload()) },
    ],
  });
  return { rows, add: button("New key", () => newKey(tenant, operator, () => rows.reload())) };
}

function newKey(tenant, operator, done) {
  const fields = [
    textField("name", { label: "Name", hint: "What will use it." }),
    choiceField("scope", { label: "Scope", required: true, options: operator ? [["operator", "operator: everything"]] : scopes }),
    timeField("expires", { label: "Expires" }),
  ];
  return formDialog("New key", "", (close) =>
    form({
      fields,
      submit: "Create key",
      cancel: close,
      send: async (v, retryKey) => {
        const created = await call("POST", "/keys", { body: { ...v, tenant }, headers: { "Idempotency-Key": retryKey } });
        close();
        await secretDialog("New key", "API key", created.api_key, created.note);
        done();
      },
    }),
  );
}

/** @param {API["ApiKey"]} key */
function actions(key, query, done) {
  const at = /** @type {const} */ (`/keys/${encodeURIComponent(key.id)}`);
  const suffix = query.tenant ? "?tenant=" + encodeURIComponent(query.tenant) : "";
  /** @param {API["ApiKey"]} rotated */
  const replaced = async (rotated) => {
    await secretDialog("Replaced key", "API key", rotated.api_key, rotated.note);
    done();
  };
  const end = async () => {
    if (
      !(await confirmDialog(
        `Delete ${key.name || "this key"}?`,
        "It ends everywhere within 30 seconds, and with it every session that signed in by it.",
        "Delete key",
      ))
    )
      return;
    await call("DELETE", at, { query });
    done();
  };
  return el(
    "span",
    { class: "actions" },
    button("Rotate", () => rotateDialog("Replace the key", `${at}/rotate${suffix}`, "24h", replaced)),
    button("Delete", end),
  );
}
