// Making and changing a registration.

import { all, call } from "./call.js";
import { tell } from "./dialog.js";
import { dryRun } from "./dryrun.js";
import { code, el, fill, link, path } from "./dom.js";
import { facts as known, kinds, wanted } from "./facts.js";
import { check, choice, lines, match, number_, pairs, text } from "./fields.js";
import { form, values } from "./form.js";
import { go } from "./route.js";
import { facts, heading, more, notice, pre } from "./show.js";
import { granted, providerName } from "./sources.js";

export async function newRegistrationPage({ query, signal }) {
  const sources = await all("/sources", { signal });
  const crumbs = [link("registrations", "Registrations")];
  if (sources.length === 0)
    return [
      heading("New registration", { crumbs }),
      notice("Nothing is granted to you yet, so there is nothing to register for. Ask the operator for a grant."),
    ];
  const place = el("div", { class: "stack" });
  const draw = async (id) =>
    fill(
      place,
      await createForm(
        sources.find((s) => s.id === id),
        signal,
      ),
    );
  const source = choice("source", {
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
    place,
  ];
}

async function createForm(source, signal) {
  const fields = await fieldsFor(source, {});
  const existing = (await all("/registrations", { query: { source: source.id }, signal })).find((r) => !r.group);
  const send = async (v, once) => {
    const made = await call("POST", "/registrations", { body: { ...v, source: source.id }, headers: { "Idempotency-Key": once } });
    await tell("Registration created", "signing secret", made.secret, made.note);
    if (made.warnings?.length > 0) await tell("Created, with a warning", "", "", made.warnings.join(" "));
    go(path("registrations", made.id));
  };
  return [
    facts([["You may receive", granted(source)]]),
    form({ fields: fields.list, content: fields.content, submit: "Create registration", send, cancel: () => go(path("registrations")) }),
    trial(existing, fields, signal),
  ];
}

// trial tries the form's filters on kept events. The API runs it for a
// registration that exists, so a source's first one has to be made before.
function trial(existing, fields, signal) {
  const about = "Which of the kept events these event types and this match would bring.";
  if (!existing)
    return more(
      "Dry run",
      el(
        "p",
        { class: "about" },
        "It needs a registration on this source. Create this one, then try others from its page before you change it.",
      ),
    );
  return more(
    "Dry run",
    el("p", { class: "about" }, about),
    dryRun(existing.id, signal, () => draftOf(fields)),
  );
}

function draftOf(fields) {
  const v = values([fields.types, fields.match]);
  return { event_types: v.event_types ?? fields.otherwise, match: v.match ?? null };
}

export async function editRegistrationPage({ params, signal }) {
  const at = `/registrations/${encodeURIComponent(params.id)}`;
  const r = await call("GET", at, { signal });
  const source = await call("GET", `/sources/${encodeURIComponent(r.source)}`, { signal }).catch(() => ({
    id: r.source,
    provider: "",
    event_types: [],
  }));
  const fields = await fieldsFor(source, r);
  const send = async (v) => {
    const changed = await call("PATCH", at, { body: onlyChanged(v, r), headers: { "If-Match": `"${r.rev}"` } });
    if (changed.warnings?.length > 0) await tell("Changed, with a warning", "", "", changed.warnings.join(" "));
    go(path("registrations", r.id));
  };
  return [
    heading("Change registration", {
      crumbs: [link("registrations", "Registrations"), link(["registrations", r.id], r.description || r.url)],
    }),
    form({ fields: fields.list, content: fields.content, submit: "Save", send, cancel: () => go(path("registrations", r.id)) }),
    more(
      "Dry run",
      el("p", { class: "about" }, "Which of the kept events these event types and this match would bring."),
      dryRun(r.id, signal, () => draftOf(fields)),
    ),
  ];
}

// onlyChanged leaves out what is as it was: some registrations may not change
// some fields.
function onlyChanged(v, r) {
  const before = { ...r, match: r.match ?? null };
  return Object.fromEntries(Object.entries(v).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])));
}

// fieldsFor returns the fields of a registration r, {} for a new one.
async function fieldsFor(source, r) {
  const { default_event_types, operational } = await known();
  const otherwise = default_event_types[source.provider] ?? [];
  const isNew = r.id === undefined;
  const types = eventTypes(source, r.event_types ?? [], otherwise, operational);
  const which = match("match", {
    label: "Only events with",
    kinds: await kinds(source.provider),
    value: r.match,
    clears: !isNew,
    hint: "Keys AND, values OR, exact text. Without any: all that is granted.",
  });
  const first = [
    text("description", { label: "Name", value: r.description, clears: !isNew, hint: "For you. It is shown instead of the endpoint." }),
    text("url", {
      label: "Endpoint URL",
      value: r.url,
      required: true,
      mono: true,
      hint: "http or https. login:password@ becomes Basic authorization and is never shown again.",
    }),
  ];
  const rest = [format(r), ...rawToken(source, isNew), schedule(r), ...limits(r)];
  const content = [
    first.map((f) => f.node),
    types.node,
    which.node,
    more(
      "Format, schedule, headers and limits",
      rest.map((f) => f.node),
    ),
  ];
  return { list: [...first, types, which, ...rest], content, types, match: which, otherwise };
}

// eventTypes lets the reader pick documented types, patterns and events of the
// gateway itself, and says what is picked.
function eventTypes(source, value, otherwise, operational) {
  const documented = source.event_types ?? [];
  const names = documented.map((t) => t.name).concat(Object.keys(operational));
  const free = lines("others", {
    label: "Others and patterns",
    rows: 2,
    value: value.filter((v) => !names.includes(v)),
    hint: "One a line, as the provider names them; * may end an entry, such as Group.*",
  });
  const said = el("p", { class: "hint", role: "status" });
  const all = { class: "types picks", tabindex: 0, "aria-label": "Documented event types" };
  const boxes = documented.map((t) => box(t.name, t.about, value.includes(t.name), t.sample));
  const own = Object.entries(operational).map(([name, about]) => box(name, about, value.includes(name)));
  const news = more(
    "News of the gateway itself",
    el("p", { class: "hint" }, "No pattern matches these; name them."),
    el("ul", { class: "types" }, own),
  );
  const node = el(
    "fieldset",
    { class: "field", input: tell },
    el("legend", {}, "Event types"),
    el("ul", all, boxes),
    free.node,
    news,
    said,
  );
  const read = () => {
    const picked = [...node.querySelectorAll("input[type=checkbox]:checked")].map((c) => c.value).concat(free.read() ?? []);
    return picked.length > 0 ? picked : undefined;
  };
  function tell() {
    const patterns = read() ?? otherwise;
    const n = documented.filter((t) => wanted(patterns, t.name, operational)).length;
    fill(said, read() === undefined && unnamed(otherwise), `${n} of ${documented.length} documented types are wanted.`);
  }
  tell();
  return { name: "event_types", node, read };
}

// box is an event type to pick.
function box(name, about, checked, sample) {
  const pick = el("label", {}, el("input", { type: "checkbox", value: name, checked }), code(name));
  return el(
    "li",
    {},
    pick,
    el("span", { class: "soft" }, about),
    sample && more("Sample", pre(JSON.stringify(sample, null, 2), `Sample of ${name}`)),
  );
}

function unnamed(otherwise) {
  return otherwise.length > 0 ? `None is named, so the default counts: ${otherwise.join(", ")}. ` : "Name at least one. ";
}

function format(r) {
  return choice("format", {
    label: "Format",
    value: r.format ?? "standard",
    required: true,
    options: [
      ["standard", "standard: JSON with a signature (Standard Webhooks)"],
      ["raw", "raw: as the provider sends it, with the same signature"],
    ],
  });
}

function rawToken(source, isNew) {
  if (source.provider !== "tencent-chat" || !isNew) return [];
  return [
    text("raw_token", {
      label: "Token for raw deliveries",
      type: "password",
      mono: true,
      hint: "Raw deliveries get Sign and RequestTime made with it, as if Tencent called. Only with format raw.",
    }),
  ];
}

function schedule(r) {
  const list = Array.isArray(r.schedule) ? r.schedule : undefined;
  const named = choice("schedule", {
    label: "Schedule of retries",
    required: true,
    value: list ? "own" : (r.schedule ?? "standard"),
    options: [
      ["standard", "standard: ten attempts over three days"],
      ["every-5-minutes", "every 5 minutes for a day"],
      ["own", "waits of your own"],
    ],
    changed: (v) => (own.node.hidden = v !== "own"),
  });
  const own = text("waits", {
    label: "Waits",
    value: list?.join(" "),
    mono: true,
    hint: "Such as 30s 5m 2h: 5s to 24h each, at most 50 and 7 days in all.",
  });
  own.node.hidden = !list;
  const read = () => (named.read() === "own" ? (own.read() ?? "").split(/[\s,]+/).filter(Boolean) : named.read());
  return { name: "schedule", node: el("div", { class: "stack" }, named.node, own.node), read };
}

function limits(r) {
  return [
    pairs("headers", {
      label: "Headers",
      value: r.headers && Object.keys(r.headers).length > 0 ? r.headers : undefined,
      hint: "Sent with each delivery. Values are never shown again; *** keeps one.",
    }),
    text("timeout", { label: "Time limit of an attempt", value: r.timeout, mono: true, placeholder: "15s", hint: "1s to 15s." }),
    number_("rate", { label: "Deliveries per second", step: "any", value: r.rate || undefined, hint: "Empty: no limit of its own." }),
    number_("concurrency", { label: "POSTs at once", value: r.concurrency || undefined }),
    check("ordered", { label: "One at a time per group, in order of arrival", value: r.ordered }),
  ];
}
