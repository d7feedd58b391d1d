// @ts-check

// One SmartBots group, for the operator and for the group's owner.

import { call } from "../parts/call.js";
import { confirmDialog, secretDialog } from "../parts/dialog.js";
import { button, code, link, path, userText } from "../parts/dom.js";
import { textField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { list } from "../parts/list.js";
import { nameOf } from "../parts/names.js";
import { navigate } from "../parts/route.js";
import { properties, heading, disclosure, section } from "../parts/show.js";
import { when } from "../parts/format.js";

/** @param {PageContext} context */
export async function groupPage({ me, params, signal }) {
  const at = /** @type {const} */ (`/groups/${encodeURIComponent(params.id)}`);
  const group = await call("GET", at, { signal });
  const operator = me.scope === "operator";
  return [
    heading(userText(group.name), { crumbs: [link("groups", "Groups")], actions: operator ? operatorActions(group, at) : [] }),
    properties([
      ["UUID in Second Life", code(group.uuid)],
      ["Persistent id", userText(group.group_id)],
      ["Source", operator ? link(["sources", group.source], nameOf("sources", group.source)) : code(group.source)],
      ["Created", when(group.created)],
    ]),
    applications(at, signal),
    securityCode(at),
    operator && change(group, at),
  ];
}

/**
 * @param {API["Group"]} group
 * @param {`/groups/${string}`} at
 */
function operatorActions(group, at) {
  const rotate = async () => {
    if (!(await confirmDialog("Replace the owner's key?", "The old one ends at once.", "Replace"))) return;
    const rotated = await call("POST", `${at}/owner-key/rotate`);
    await secretDialog(`Owner's key of ${group.name}`, "API key", rotated.owner_key, rotated.note);
  };
  const remove = async () => {
    if (!(await confirmDialog(`Delete ${group.name}?`, "The callbacks made with its code are removed too.", "Delete group"))) return;
    await call("DELETE", at);
    navigate(path("groups"));
  };
  return [button("Replace owner's key", rotate), button("Delete", remove, { class: "danger" })];
}

/**
 * @param {`/groups/${string}`} at
 * @param {AbortSignal} signal
 */
function applications(at, signal) {
  const rows = list({
    path: `${at}/apps`,
    signal,
    label: "Connected applications",
    empty: "No application is connected.",
    columns: [
      { name: "Application", cell: (a) => userText(a.app_name || "unnamed") },
      { name: "Connected", cell: (a) => when(a.created) },
      { name: "Actions", cell: (a) => button("Remove", () => disconnect(at, a, () => rows.reload())) },
    ],
  });
  return section("Connected applications", { about: "They receive the group's chat." }, rows);
}

/**
 * @param {`/groups/${string}`} at
 * @param {API["App"]} app
 */
async function disconnect(at, app, done) {
  if (!(await confirmDialog(`Remove ${app.app_name || "this application"}?`, "It is notified, and receives nothing more.", "Remove"))) return;
  await call("DELETE", `${at}/apps/${encodeURIComponent(app.id)}`);
  done();
}

/** @param {`/groups/${string}`} at */
function securityCode(at) {
  const code = textField("security_code", {
    label: "New Group Security Code",
    type: "password",
    required: true,
    hint: "Another code removes all applications that were connected with the old one. The same code again removes nothing.",
  });
  const send = async (v) => {
    if (!(await confirmDialog("Change the security code?", "All connected applications are removed and notified.", "Change"))) return;
    await call("PATCH", at, { body: v });
    navigate(location.pathname, { replace: true });
  };
  return section("Security code", {}, disclosure("Change the code", form({ fields: [code], submit: "Change code", danger: true, send })));
}

/**
 * @param {API["Group"]} group
 * @param {`/groups/${string}`} at
 */
function change(group, at) {
  const fields = [
    textField("name", { label: "Name", value: group.name }),
    textField("uuid", { label: "UUID in Second Life", value: group.uuid, mono: true, hint: "Another UUID removes all callbacks made by code." }),
    textField("group_id", { label: "Persistent id", value: group.group_id, mono: true }),
  ];
  const send = async (v) => {
    await call("PATCH", at, { body: v });
    navigate(location.pathname, { replace: true });
  };
  return section("Settings", {}, disclosure("Change", form({ fields, submit: "Save", send })));
}
