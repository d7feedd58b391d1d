// @ts-check

// A new registration.

import { allRows, call } from "../parts/call.js";
import { secretDialog } from "../parts/dialog.js";
import { el, fill, link, path } from "../parts/dom.js";
import { dryRun } from "../parts/dryrun.js";
import { choiceField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { draftOf, fieldsFor } from "../parts/registrationfields.js";
import { navigate } from "../parts/route.js";
import { properties, heading, disclosure, notice } from "../parts/show.js";
import { granted, providerName } from "../parts/sources.js";

/** @param {PageContext} context */
export async function newRegistrationPage({ query, signal }) {
  const sources = await allRows("/sources", { signal });
  const crumbs = [link("registrations", "Registrations")];
  if (sources.length === 0)
    return [
      heading("New registration", { crumbs }),
      notice("Nothing is granted to you yet, so there is nothing to register for. Ask the operator for a grant."),
    ];
  const formBox = el("div", { class: "stack" });
  const draw = async (id) =>
    fill(
      formBox,
      await createForm(
        sources.find((s) => s.id === id) ?? sources[0],
        signal,
      ),
    );
  const source = choiceField("source", {
    label: "Source",
    required: true,
    value: query.get("source") ?? sources[0].id,
    options: sources.map((s) => [s.id, `${s.name} (${providerName(s.provider)})`]),
    changed: draw,
  });
  await draw(source.read());
  return [
    heading("New registration", { crumbs, about: "Which events of a source go to which endpoint of yours." }),
    el("div", { class: "narrow" }, source.node),
    formBox,
  ];
}

/**
 * @param {API["Source"]} source
 * @param {AbortSignal} signal
 */
async function createForm(source, signal) {
  const fields = await fieldsFor(source, {});
  const existing = (await allRows("/registrations", { query: { source: source.id }, signal })).find((r) => !r.group);
  const send = async (v, retryKey) => {
    const created = await call("POST", "/registrations", { body: { ...v, source: source.id }, headers: { "Idempotency-Key": retryKey } });
    await secretDialog("Registration created", "signing secret", created.secret, created.note);
    if (created.warnings?.length) await secretDialog("Created, with a warning", "", "", created.warnings.join(" "));
    navigate(path("registrations", created.id));
  };
  return [
    properties([["You may receive", granted(source)]]),
    form({ fields: fields.list, content: fields.content, submit: "Create registration", send, cancel: () => navigate(path("registrations")) }),
    draftDryRun(existing, fields, signal),
  ];
}

// draftDryRun tries the form's event types and match on stored events. The API
// needs an existing registration of the source for that, so a source's first
// registration must be created without a dry run.
function draftDryRun(existing, fields, signal) {
  const about = "Which of the kept events these event types and this match would bring.";
  if (!existing)
    return disclosure(
      "Dry run",
      el(
        "p",
        { class: "about" },
        "It needs a registration on this source. Create this one, then try others from its page before you change it.",
      ),
    );
  return disclosure(
    "Dry run",
    el("p", { class: "about" }, about),
    dryRun(existing.id, signal, () => draftOf(fields)),
  );
}
