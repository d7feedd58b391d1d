// @ts-check

// Fields of forms. A field is {node, read}: read returns its value, or undefined
// if it is empty.

import { el, fill } from "./dom.js";

let number = 0;

// labelled puts a label and a hint around a control.
function labelled(control, { label, hint, required }) {
  const id = `field-${++number}`;
  control.id = id;
  if (hint) control.setAttribute("aria-describedby", id + "-hint");
  const name = el("label", { for: id }, label, !required && el("span", { class: "optional" }, " optional"));
  return el("div", { class: "field" }, name, control, hint && el("p", { class: "hint", id: id + "-hint" }, hint));
}

// textField is one line of text. Its type may be any of a text input's, such as
// password.
export function textField(name, o) {
  const plain = { autocomplete: "off", autocapitalize: "off", spellcheck: "false" };
  const control = el("input", {
    name,
    type: o.type ?? "text",
    value: o.value,
    required: o.required,
    placeholder: o.placeholder,
    class: o.mono && "mono",
    ...plain,
  });
  return { name, node: labelled(control, o), read: () => control.value.trim() || (o.clears ? "" : undefined), control };
}

// numberField is a number, of at least 0 by default.
export function numberField(name, o) {
  const control = el("input", { name, type: "number", min: o.min ?? 0, step: o.step ?? 1, value: o.value, required: o.required });
  return { name, node: labelled(control, o), read: () => (control.value === "" ? undefined : Number(control.value)) };
}

// linesField is a list of texts, one per line.
export function linesField(name, o) {
  const control = el(
    "textarea",
    { name, rows: o.rows ?? 3, class: "mono", spellcheck: "false", required: o.required },
    (o.value ?? []).join("\n"),
  );
  const read = () => {
    const found = split(control.value);
    return found.length > 0 || o.clears ? found : undefined;
  };
  return { name, node: labelled(control, o), read, control };
}

function split(value) {
  return value
    .split("\n")
    .map((l) => l.trim())
    .filter(Boolean);
}

// choiceField is one of options, each [value, text].
export function choiceField(name, o) {
  const options = o.options.map(([value, text]) => el("option", { value, selected: value === o.value }, text));
  const control = el("select", { name, required: o.required, change: () => o.changed?.(control.value) }, options);
  return { name, node: labelled(control, o), read: () => control.value || undefined, control };
}

// checkField is yes or no.
export function checkField(name, o) {
  const id = `field-${++number}`;
  const control = el("input", { name, type: "checkbox", id, checked: o.value });
  const node = el(
    "div",
    { class: "field check" },
    control,
    el("label", { for: id }, o.label),
    o.hint && el("p", { class: "hint" }, o.hint),
  );
  return { name, node, read: () => control.checked };
}

// timeField is an instant, entered to the minute in the reader's time zone.
export function timeField(name, o) {
  const control = el("input", { name, type: "datetime-local", value: o.value && local(o.value), required: o.required });
  return { name, node: labelled(control, o), read: () => (control.value ? new Date(control.value).toISOString() : undefined), control };
}

function local(date) {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60000);
  return shifted.toISOString().slice(0, 16);
}

// matchField is the match of a grant, a registration or an erasure: rows of a
// routing key and its values. kinds are [key, description].
export function matchField(name, o) {
  const rows = el("div", { class: "rows" });
  const about = new Map(o.kinds);
  function add(key, values = []) {
    rows.append(matchRow(o.kinds, about, key, values));
  }
  for (const [key, values] of Object.entries(o.value ?? {})) add(key, values);
  const more = el(
    "button",
    {
      type: "button",
      click: () => {
        add(o.kinds[0][0]);
        rows.lastElementChild?.querySelector("select")?.focus();
      },
    },
    "Add a routing key",
  );
  const node = el(
    "fieldset",
    { class: "field" },
    el("legend", {}, o.label, el("span", { class: "optional" }, " optional")),
    el("p", { class: "hint" }, o.hint),
    rows,
    more,
  );
  return { name, node, read: () => matchOf(rows) ?? (o.clears ? null : undefined) };
}

function matchRow(kinds, about, key, values) {
  const hint = el("p", { class: "hint" }, about.get(key));
  const select = el(
    "select",
    { "aria-label": "Routing key", change: () => fill(hint, about.get(select.value)) },
    kinds.map(([k]) => el("option", { value: k, selected: k === key }, k)),
  );
  const area = el(
    "textarea",
    {
      rows: 2,
      class: "mono",
      "aria-label": "Accepted values, one a line",
      placeholder: "accepted values, one a line",
      spellcheck: "false",
    },
    values.join("\n"),
  );
  const row = el("div", { class: "match" }, select, area, el("button", { type: "button", click: () => row.remove() }, "Remove"), hint);
  return row;
}

// matchOf returns the match that rows hold. Rows with the same key are merged.
function matchOf(rows) {
  const found = {};
  for (const row of rows.children) {
    const values = split(row.querySelector("textarea").value);
    const key = row.querySelector("select").value;
    found[key] = [...(found[key] ?? []), ...values];
  }
  return Object.keys(found).length > 0 ? found : undefined;
}

// pairsField is a table of names and values, such as headers.
export function pairsField(name, o) {
  const rows = el("div", { class: "rows" });
  const add = (key = "", value = "") => {
    const k = el("input", { type: "text", value: key, "aria-label": "Name", placeholder: "name", spellcheck: "false" });
    const v = el("input", { type: "text", value, "aria-label": "Value", placeholder: "value", autocomplete: "off", spellcheck: "false" });
    const row = el("div", { class: "pair" }, k, v, el("button", { type: "button", click: () => row.remove() }, "Remove"));
    rows.append(row);
  };
  for (const [key, value] of Object.entries(o.value ?? {})) add(key, value);
  const more = el(
    "button",
    {
      type: "button",
      click: () => {
        add();
        rows.lastElementChild?.querySelector("input")?.focus();
      },
    },
    "Add a header",
  );
  const node = el(
    "fieldset",
    { class: "field" },
    el("legend", {}, o.label, el("span", { class: "optional" }, " optional")),
    el("p", { class: "hint" }, o.hint),
    rows,
    more,
  );
  const read = () => {
    const found = [...rows.children].map((r) => [...r.querySelectorAll("input")].map((i) => i.value.trim())).filter(([k]) => k);
    return found.length > 0 || o.value ? Object.fromEntries(found) : undefined;
  };
  return { name, node, read };
}
