// @ts-check

// The form fields of a registration.

import { code, el, fill } from "./dom.js";
import { loadFacts, matchesPatterns, routingKeys } from "./facts.js";
import { checkField, choiceField, linesField, matchField, numberField, pairsField, textField } from "./fields.js";
import { values } from "./form.js";
import { disclosure, pre } from "./show.js";

// draftOf returns the event types and the match that are entered, for a dry run.
export function draftOf(fields) {
  const v = values([fields.types, fields.match]);
  return { event_types: v.event_types ?? fields.defaultTypes, match: v.match ?? null };
}

// fieldsFor returns the fields of a registration r, which is {} for a new one.
/**
 * @param {API["Source"]} source
 * @param {Partial<API["Registration"]>} r
 */
export async function fieldsFor(source, r) {
  const { default_event_types, operational } = await loadFacts();
  const defaultTypes = default_event_types[source.provider] ?? [];
  const isNew = r.id === undefined;
  const types = eventTypes(source, r.event_types ?? [], defaultTypes, operational);
  const match = matchField("match", {
    label: "Only events with",
    kinds: await routingKeys(source.provider),
    value: r.match,
    clears: !isNew,
    hint: "Keys AND, values OR, exact text. Without any: all that is granted.",
  });
  const first = [
    textField("description", { label: "Name", value: r.description, clears: !isNew, hint: "For you. It is shown instead of the endpoint." }),
    textField("url", {
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
    match.node,
    disclosure(
      "Format, schedule, headers and limits",
      rest.map((f) => f.node),
    ),
  ];
  return { list: [...first, types, match, ...rest], content, types, match, defaultTypes };
}

// eventTypes returns a field with check boxes for documented types and for
// operational events, lines for patterns, and a summary of what is wanted.
/** @param {API["Source"]} source */
function eventTypes(source, value, defaultTypes, operational) {
  const documented = source.event_types ?? [];
  const names = documented.map((t) => t.name).concat(Object.keys(operational));
  const others = linesField("others", {
    label: "Others and patterns",
    rows: 2,
    value: value.filter((v) => !names.includes(v)),
    hint: "One a line, as the provider names them; * may end an entry, such as Group.*",
  });
  const summary = el("p", { class: "hint", role: "status" });
  const all = { class: "types picks", tabindex: 0, "aria-label": "Documented event types" };
  const boxes = documented.map((t) => typeCheckbox(t.name, t.about, value.includes(t.name), t.sample));
  const operationalBoxes = Object.entries(operational).map(([name, about]) => typeCheckbox(name, about, value.includes(name)));
  const operationalTypes = disclosure(
    "Operational events of the gateway",
    el("p", { class: "hint" }, "No pattern matches these; name them."),
    el("ul", { class: "types" }, operationalBoxes),
  );
  const node = el(
    "fieldset",
    { class: "field", input: updateSummary },
    el("legend", {}, "Event types"),
    el("ul", all, boxes),
    others.node,
    operationalTypes,
    summary,
  );
  const read = () => {
    const boxes = /** @type {NodeListOf<HTMLInputElement>} */ (node.querySelectorAll("input[type=checkbox]:checked"));
    const picked = [...boxes].map((c) => c.value).concat(others.read() ?? []);
    return picked.length > 0 ? picked : undefined;
  };
  function updateSummary() {
    const patterns = read() ?? defaultTypes;
    const n = documented.filter((t) => matchesPatterns(patterns, t.name, operational)).length;
    fill(summary, read() === undefined && defaultTypesHint(defaultTypes), `${n} of ${documented.length} documented types are wanted.`);
  }
  updateSummary();
  return { name: "event_types", node, read };
}

// typeCheckbox returns a check box for an event type, with its sample.
function typeCheckbox(name, about, checked, sample) {
  const pick = el("label", {}, el("input", { type: "checkbox", value: name, checked }), code(name));
  return el(
    "li",
    {},
    pick,
    el("span", { class: "soft" }, about),
    sample && disclosure("Sample", pre(JSON.stringify(sample, null, 2), `Sample of ${name}`)),
  );
}

function defaultTypesHint(defaultTypes) {
  return defaultTypes.length > 0 ? `None is named, so the default applies: ${defaultTypes.join(", ")}. ` : "Name at least one. ";
}

/** @param {Partial<API["Registration"]>} r */
function format(r) {
  return choiceField("format", {
    label: "Format",
    value: r.format ?? "standard",
    required: true,
    options: [
      ["standard", "standard: JSON with a signature (Standard Webhooks)"],
      ["raw", "raw: as the provider sends it, with the same signature"],
    ],
  });
}

/** @param {API["Source"]} source */
function rawToken(source, isNew) {
  if (source.provider !== "tencent-chat" || !isNew) return [];
  return [
    textField("raw_token", {
      label: "Token for raw deliveries",
      type: "password",
      mono: true,
      hint: "Raw deliveries get Sign and RequestTime made with it, as if Tencent called. Only with format raw.",
    }),
  ];
}

/** @param {Partial<API["Registration"]>} r */
function schedule(r) {
  const list = Array.isArray(r.schedule) ? r.schedule : undefined;
  const named = choiceField("schedule", {
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
  const own = textField("waits", {
    label: "Waits",
    value: list?.join(" "),
    mono: true,
    hint: "Such as 30s 5m 2h: 5s to 24h each, at most 50 and 7 days in all.",
  });
  own.node.hidden = !list;
  const read = () => (named.read() === "own" ? (own.read() ?? "").split(/[\s,]+/).filter(Boolean) : named.read());
  return { name: "schedule", node: el("div", { class: "stack" }, named.node, own.node), read };
}

/** @param {Partial<API["Registration"]>} r */
function limits(r) {
  return [
    pairsField("headers", {
      label: "Headers",
      value: r.headers && Object.keys(r.headers).length > 0 ? r.headers : undefined,
      hint: "Sent with each delivery. Values are never shown again; *** keeps one.",
    }),
    textField("timeout", { label: "Time limit of an attempt", value: r.timeout, mono: true, placeholder: "15s", hint: "1s to 15s." }),
    numberField("rate", { label: "Deliveries per second", step: "any", value: r.rate || undefined, hint: "Empty: no limit of its own." }),
    numberField("concurrency", { label: "POSTs at once", value: r.concurrency || undefined }),
    checkField("ordered", { label: "One at a time per group, in order of arrival", value: r.ordered }),
  ];
}
