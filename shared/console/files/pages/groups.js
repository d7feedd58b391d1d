// @ts-check

// The list of SmartBots groups, and a new one.

import { allRows, call } from "../parts/call.js";
import { formDialog, secretDialog } from "../parts/dialog.js";
import { button, code, link, path, userText } from "../parts/dom.js";
import { choiceField, textField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { list } from "../parts/list.js";
import { navigate } from "../parts/route.js";
import { heading } from "../parts/show.js";
import { when } from "../parts/format.js";

/** @param {PageContext} context */
export function groupsPage({ me, signal }) {
  const rows = list({
    path: "/groups",
    signal,
    label: "Groups",
    empty: "No group yet. Groups let tenants set callbacks by a Group Security Code.",
    columns: [
      { name: "Group", cell: (g) => link(["groups", g.id], userText(g.name)) },
      { name: "Second Life UUID", wide: true, cell: (g) => code(g.uuid) },
      { name: "Group id", cell: (g) => userText(g.group_id) },
      { name: "Created", wide: true, cell: (g) => when(g.created) },
    ],
  });
  const actions = me.scope === "operator" ? [button("New group", newGroup, { class: "primary" })] : [];
  return [heading("Groups", { actions }), rows];
}

async function newGroup() {
  const sources = (await allRows("/sources")).filter((s) => s.provider === "smartbots");
  const fields = [
    choiceField("source", {
      label: "Source",
      required: true,
      options: sources.map((s) => [s.id, s.name]),
      hint: sources.length === 0 && "There is no SmartBots source yet; create one first.",
    }),
    textField("name", { label: "Name", required: true, hint: "As it is listed with SmartBots. Upper and lower case are the same." }),
    textField("uuid", { label: "UUID in Second Life", required: true, mono: true }),
    textField("group_id", { label: "Persistent id at SmartBots", mono: true }),
    textField("security_code", {
      label: "Group Security Code",
      type: "password",
      required: true,
      hint: "Kept as a slow hash; it cannot be shown again.",
    }),
  ];
  return formDialog("New group", "", (close) =>
    form({
      fields,
      submit: "Create group",
      cancel: close,
      send: async (v, retryKey) => {
        const group = await call("POST", "/groups", { body: v, headers: { "Idempotency-Key": retryKey } });
        close();
        await secretDialog(`Owner's key of ${group.name}`, "API key", group.owner_key, group.note);
        navigate(path("groups", group.id));
      },
    }),
  );
}
