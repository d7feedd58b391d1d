// @ts-check

// Jobs that deliver again: recovery, replay and release.

import { call } from "./call.js";
import { el } from "./dom.js";
import { numberField, timeField } from "./fields.js";
import { form } from "./form.js";
import { progress } from "./progress.js";
import { disclosure } from "./show.js";

/** @type {["recover" | "replay-missing" | "release", string, string][]} */
const jobKinds = [
  ["recover", "Recover", "What failed since then is delivered again, oldest first."],
  ["replay-missing", "Replay what was missed", "Events since then that it wants and never got, back to the start of its grant."],
  ["release", "Release what is held", "What was held since then is delivered. Enabling releases the last moments by itself."],
];

/**
 * @param {`/registrations/${string}`} at
 * @param {AbortSignal} signal
 */
export function redeliver(at, signal) {
  const jobs = el("div", { class: "stack" });
  const forms = jobKinds.map(([work, title, about]) => {
    const since = timeField("since", { label: "Since", required: true, value: new Date(Date.now() - 24 * 3600 * 1000) });
    const until = work === "replay-missing" && timeField("until", { label: "Until" });
    const rate = numberField("rate", { label: "Deliveries per second", step: "any", hint: "Empty: as its own rate has it, else 50." });
    const send = async (v, retryKey) => {
      const job = await call("POST", `${at}/${work}`, { body: v, headers: { "Idempotency-Key": retryKey } });
      jobs.prepend(progress(job, { signal }));
    };
    return disclosure(
      title,
      el("p", { class: "about" }, about),
      form({ fields: until ? [since, until, rate] : [since, rate], submit: title, send, inline: true }),
    );
  });
  return [forms, jobs];
}
