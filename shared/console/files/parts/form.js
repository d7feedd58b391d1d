// @ts-check

// Forms: fields, one button, and what came of it.

import { idempotencyKey } from "./call.js";
import { el, fill } from "./dom.js";
import { errorAlert } from "./show.js";

// form calls send with the values of its fields by name, and a token that stays
// the same while nobody knows whether the last try was done. content is what
// stands in the form, by default the fields one after another; inline puts them
// on one line.
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

  async function sent(e) {
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
    { submit: sent, class: inline && "inline" },
    content ?? fields.map((f) => f.node),
    state,
    el("div", { class: "actions" }, submitButton, cancelButton),
  );
}

// values returns what was entered; a field without a value is left out.
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
