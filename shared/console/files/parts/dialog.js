// @ts-check

// Modal dialogs: a confirmation, a secret that is shown once, a form.

import { el } from "./dom.js";
import { copyable } from "./show.js";

let number = 0;

// open shows a dialog and returns a promise of the value that close gets, or of
// undefined if the dialog is dismissed.
function open(title, content, { dismiss = true } = {}) {
  const { promise, resolve } = Promise.withResolvers?.() ?? resolvers();
  const id = `dialog-${++number}`;
  const d = el("dialog", { "aria-labelledby": id, close: end, cancel: (e) => !dismiss && e.preventDefault() });
  let value;
  function end() {
    d.remove();
    resolve(value);
  }
  const close = (v) => {
    value = v;
    d.close();
  };
  d.append(el("h2", { id }, title), ...content(close));
  document.body.append(d);
  d.showModal();
  return promise;
}

function resolvers() {
  const r = {};
  r.promise = new Promise((resolve) => (r.resolve = resolve));
  return r;
}

// confirmDialog asks a question and returns a promise of true if it is confirmed.
export async function confirmDialog(question, detail, action, { danger = true } = {}) {
  const confirmed = await open(question, (close) => [
    el("p", {}, detail),
    el(
      "div",
      { class: "actions end" },
      el("button", { type: "button", click: () => close(false) }, "Keep as it is"),
      el("button", { type: "button", class: danger ? "danger" : "primary", click: () => close(true) }, action),
    ),
  ]);
  return confirmed === true;
}

// secretDialog shows a secret. Escape does not close it, since the secret cannot
// be shown again.
export function secretDialog(title, label, secret, note) {
  return open(
    title,
    (close) =>
      [
        secret ? el("p", {}, "It is shown this once. Store it now with your other secrets.") : el("p", {}, note),
        secret && copyable(label, secret),
        el(
          "div",
          { class: "actions end" },
          el("button", { type: "button", class: "primary", click: () => close() }, secret ? "I have stored it" : "Close"),
        ),
      ].filter(Boolean),
    { dismiss: !secret },
  );
}

// formDialog shows the form that make returns. make gets a function that closes
// the dialog.
export function formDialog(title, about, make) {
  return open(title, (close) => [about && el("p", { class: "about" }, about), make(close)].filter(Boolean));
}
