// @ts-check

// Rotation of secrets: the old one stays valid for a while beside the new one.

import { call } from "./call.js";
import { formDialog } from "./dialog.js";
import { el } from "./dom.js";
import { choiceField } from "./fields.js";
import { form } from "./form.js";
import { properties } from "./show.js";
import { when } from "./format.js";

// rotateDialog asks how long the old secret stays valid, rotates it, and calls
// done with the response.
export function rotateDialog(title, address, overlap, done, fields = []) {
  const hours = choiceField("overlap", {
    label: "The old one holds for",
    required: true,
    value: overlap,
    options: [
      ["0s", "no time: it ends within 30 s"],
      ["1h", "1 hour"],
      ["24h", "24 hours"],
      ["168h", "7 days"],
      ["720h", "30 days"],
    ],
  });
  return formDialog(title, "", (close) =>
    form({
      fields: [...fields, hours],
      submit: "Replace",
      cancel: close,
      send: async (v) => {
        const rotated = await call("POST", address, { body: v });
        close();
        await done(rotated);
      },
    }),
  );
}

// validity lists from when to when each secret is valid, without its text.
/**
 * @param {string} name
 * @param {API["Validity"][] | null | undefined} secrets
 * @param {string} none
 */
export function validity(name, secrets, none) {
  if (!secrets?.length) return el("p", { class: "empty" }, none);
  return properties(secrets.map((s, i) => [i === 0 ? name : "Replaced", ["set ", when(s.since), s.until && [", holds until ", when(s.until)]]]));
}
