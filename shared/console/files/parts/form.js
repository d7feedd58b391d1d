// @ts-check

// Forms: fields, a submit button, and the error of the last try.

import { idempotencyKey } from "./call.js";
import { el, fill } from "./dom.js";
import { errorAlert } from "./show.js";

// form calls send with the values of its fields by name, and an idempotency key.
// The key stays the same after a failure that leaves open whether the call was
// done, such as a lost connection, so that a second try does not repeat it.
// content is the content of the form, by default its fields; inline puts them on
// one line.
/**
 * @param {{
 *   fields: Field<any>[], submit: string, send: (values: any, retryKey: string) => unknown, cancel?: () => unknown,
 *   content?: Child, danger?: boolean, inline?: boolean,
 * }} options
 */
export function form({ fields, submit, send, cancel, content, danger = false, inline = false }) {
  const state = el("div", { class: "state" });
  const submitButton = el("button", { class: danger ? "danger" : "primary" }, submit);
  const cancelButton = cancel && el("button", { type: "button", click: cancel }, "Cancel");
  let retryKey = idempotencyKey();

  async function onSubmit(e) {
    e.preventDefault();
    submitButton.disabled = true;
    fill(state);
    try {
      await send(values(fields), retryKey);
      retryKey = idempotencyKey();
    } catch (problem) {
      if (problem.status >= 400 && problem.status < 500) retryKey = idempotencyKey();
      const shown = errorAlert(problem);
      fill(state, shown);
      shown.focus();
    } finally {
      submitButton.disabled = false;
    }
  }

  return el(
    "form",
    { submit: onSubmit, class: inline && "inline" },
    content ?? fields.map((f) => f.node),
    state,
    el("div", { class: "actions" }, submitButton, cancelButton),
  );
}

// values returns the fields' values by name. It leaves out empty fields.
/**
 * @param {Field<any>[]} fields
 * @returns {Record<string, any>}
 */
export function values(fields) {
  const out = {};
  for (const f of fields) {
    const value = f.read();
    if (value !== undefined) out[f.name] = value;
  }
  return out;
}
