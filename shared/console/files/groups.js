// SmartBots groups, for the operator and for a group's owner.

import { all, call } from "./call.js";
import { ask, sheet, tell } from "./dialog.js";
import { button, code, link, path, said } from "./dom.js";
import { choice, text } from "./fields.js";
import { form } from "./form.js";
import { list } from "./list.js";
import { name } from "./names.js";
import { go } from "./route.js";
import { facts, heading, more, section } from "./show.js";
import { when } from "./words.js";

export function groupsPage({ me, signal }) {
  const rows = list({
    path: "/groups",
    signal,
    label: "Groups",
    empty: "No group yet. Groups let tenants set callbacks by a Group Security Code.",
    columns: [
      { name: "Group", cell: (g) => link(["groups", g.id], said(g.name)) },
      { name: "Second Life UUID", wide: true, cell: (g) => code(g.uuid) },
      { name: "Group id", cell: (g) => said(g.group_id) },
      { name: "Created", wide: true, cell: (g) => when(g.created) },
    ],
  });
  const actions = me.scope === "operator" ? [button("New group", newGroup, { class: "primary" })] : [];
  return [heading("Groups", { actions }), rows];
}

async function newGroup() {
  const sources = (await all("/sources")).filter((s) => s.provider === "smartbots");
  const fields = [
    choice("source", {
      label: "Source",
      required: true,
      options: sources.map((s) => [s.id, s.name]),
      hint: sources.length === 0 && "There is no SmartBots source yet; create one first.",
    }),
    text("name", { label: "Name", required: true, hint: "As it is listed with SmartBots. Upper and lower case are the same." }),
    text("uuid", { label: "UUID in Second Life", required: true, mono: true }),
    text("group_id", { label: "Persistent id at SmartBots", mono: true }),
    text("security_code", {
      label: "Group Security Code",
      type: "password",
      required: true,
      hint: "Kept as a slow hash; it cannot be shown again.",
    }),
  ];
  return sheet("New group", "", (close) =>
    form({
      fields,
      submit: "Create group",
      cancel: close,
      send: async (v, once) => {
        const made = await call("POST", "/groups", { body: v, headers: { "Idempotency-Key": once } });
        close();
        await tell(`Owner's key of ${made.name}`, "API key", made.owner_key, made.note);
        go(path("groups", made.id));
      },
    }),
  );
}

// connectGroup asks for a group and has SmartBots call the source for it.
export function connectGroup(source) {
  const fields = [
    text("name", { label: "Group", required: true, hint: "As it is listed with SmartBots." }),
    text("security_code", { label: "Group Security Code", type: "password", required: true }),
  ];
  return sheet("Register a group at SmartBots", "SmartBots is asked with the API key of this source.", (close) =>
    form({
      fields,
      submit: "Register",
      cancel: close,
      send: async (body) => {
        const made = await call("POST", `/sources/${encodeURIComponent(source.id)}/groups`, { body });
        close();
        go(path("groups", made.id));
      },
    }),
  );
}

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
