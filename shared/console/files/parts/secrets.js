// Secrets that are replaced: the old one holds for a while beside the new.

import { call } from "./call.js";
import { sheet } from "./dialog.js";
import { el } from "./dom.js";
import { choice } from "./fields.js";
import { form } from "./form.js";
import { facts } from "./show.js";
import { when } from "./words.js";

// rotate asks for how long the old secret is to hold, and calls done with the
// answer.
export function rotate(title, address, overlap, done, fields = []) {
  const hours = choice("overlap", {
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
  return sheet(title, "", (close) =>
    form({
      fields: [...fields, hours],
      submit: "Replace",
      cancel: close,
      send: async (v) => {
        const answer = await call("POST", address, { body: v });
        close();
        await done(answer);
      },
    }),
  );
}

// held lists since and until when secrets hold, without showing them.
export function held(name, secrets, none) {
  if (!secrets?.length) return el("p", { class: "empty" }, none);
  return facts(secrets.map((s, i) => [i === 0 ? name : "Replaced", ["set ", when(s.since), s.until && [", holds until ", when(s.until)]]]));
}
