// @ts-check

// Changing a registration.

import { call } from "../parts/call.js";
import { secretDialog } from "../parts/dialog.js";
import { el, link, path } from "../parts/dom.js";
import { dryRun } from "../parts/dryrun.js";
import { form } from "../parts/form.js";
import { draftOf, fieldsFor } from "../parts/registrationfields.js";
import { navigate } from "../parts/route.js";
import { heading, disclosure } from "../parts/show.js";

/** @param {PageContext} context */
export async function editRegistrationPage({ params, signal }) {
  const at = /** @type {const} */ (`/registrations/${encodeURIComponent(params.id)}`);
  const r = await call("GET", at, { signal });
  const source = await call("GET", `/sources/${encodeURIComponent(r.source)}`, { signal }).catch(() => ({
    id: r.source,
    name: "",
    provider: "",
    event_types: [],
  }));
  const fields = await fieldsFor(source, r);
  const send = async (v) => {
    const changed = await call("PATCH", at, { body: onlyChanged(v, r), headers: { "If-Match": `"${r.rev}"` } });
    if (changed.warnings?.length) await secretDialog("Changed, with a warning", "", "", changed.warnings.join(" "));
    navigate(path("registrations", r.id));
  };
  return [
    heading("Change registration", {
      crumbs: [link("registrations", "Registrations"), link(["registrations", r.id], r.description || r.url)],
    }),
    form({ fields: fields.list, content: fields.content, submit: "Save", send, cancel: () => navigate(path("registrations", r.id)) }),
    disclosure(
      "Dry run",
      el("p", { class: "about" }, "Which of the kept events these event types and this match would bring."),
      dryRun(r.id, signal, () => draftOf(fields)),
    ),
  ];
}

// onlyChanged returns the values that differ from r. An unchanged field must not
// be sent, since some registrations may not change some fields.
/** @param {API["Registration"]} r */
function onlyChanged(v, r) {
  const before = { ...r, match: r.match ?? null };
  return Object.fromEntries(Object.entries(v).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])));
}
