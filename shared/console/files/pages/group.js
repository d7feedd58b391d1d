// One SmartBots group, for the operator and for the group's owner.

import { call } from "../parts/call.js";
import { ask, tell } from "../parts/dialog.js";
import { button, code, link, path, said } from "../parts/dom.js";
import { text } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { list } from "../parts/list.js";
import { name } from "../parts/names.js";
import { go } from "../parts/route.js";
import { facts, heading, more, section } from "../parts/show.js";
import { when } from "../parts/words.js";

export async function groupPage({ me, params, signal }) {
  const at = `/groups/${encodeURIComponent(params.id)}`;
  const group = await call("GET", at, { signal });
  const operator = me.scope === "operator";
  return [
    heading(said(group.name), { crumbs: [link("groups", "Groups")], actions: operator ? operatorActions(group, at) : [] }),
    facts([
      ["UUID in Second Life", code(group.uuid)],
      ["Persistent id", said(group.group_id)],
      ["Source", operator ? link(["sources", group.source], name("sources", group.source)) : code(group.source)],
      ["Created", when(group.created)],
    ]),
    apps(at, signal),
    securityCode(at),
    operator && change(group, at),
  ];
}

function operatorActions(group, at) {
  const rotate = async () => {
    if (!(await ask("Replace the owner's key?", "The old one ends at once.", "Replace"))) return;
    const answer = await call("POST", at + "/owner-key/rotate");
    await tell(`Owner's key of ${group.name}`, "API key", answer.owner_key, answer.note);
  };
  const remove = async () => {
    if (!(await ask(`Delete ${group.name}?`, "The callbacks made with its code are removed too.", "Delete group"))) return;
    await call("DELETE", at);
    go(path("groups"));
  };
  return [button("Replace owner's key", rotate), button("Delete", remove, { class: "danger" })];
}

function apps(at, signal) {
  const rows = list({
    path: at + "/apps",
    signal,
    label: "Connected applications",
    empty: "No application is connected.",
    columns: [
      { name: "Application", cell: (a) => said(a.app_name || "unnamed") },
      { name: "Connected", cell: (a) => when(a.created) },
      { name: "Actions", cell: (a) => button("Remove", () => disconnect(at, a, () => rows.reload())) },
    ],
  });
  return section("Connected applications", { about: "They receive the group's chat." }, rows);
}

async function disconnect(at, app, done) {
  if (!(await ask(`Remove ${app.app_name || "this application"}?`, "It is told so, and receives nothing more.", "Remove"))) return;
  await call("DELETE", `${at}/apps/${encodeURIComponent(app.id)}`);
  done();
}

function securityCode(at) {
  const code = text("security_code", {
    label: "New Group Security Code",
    type: "password",
    required: true,
    hint: "Another code removes all applications that were connected with the old one. The same code again removes nothing.",
  });
  const send = async (v) => {
    if (!(await ask("Change the security code?", "All connected applications are removed and told so.", "Change"))) return;
    await call("PATCH", at, { body: v });
    go(location.pathname, { replace: true });
  };
  return section("Security code", {}, more("Change the code", form({ fields: [code], submit: "Change code", danger: true, send })));
}

function change(group, at) {
  const fields = [
    text("name", { label: "Name", value: group.name }),
    text("uuid", { label: "UUID in Second Life", value: group.uuid, mono: true, hint: "Another UUID removes all callbacks made by code." }),
    text("group_id", { label: "Persistent id", value: group.group_id, mono: true }),
  ];
  const send = async (v) => {
    await call("PATCH", at, { body: v });
    go(location.pathname, { replace: true });
  };
  return section("Settings", {}, more("Change", form({ fields, submit: "Save", send })));
}
