// @ts-check

// A job and its progress.

import { call } from "./call.js";
import { confirmDialog } from "./dialog.js";
import { button, code, el, fill, link, userText } from "./dom.js";
import { poll } from "./list.js";
import { badge } from "./badge.js";
import { nameOf } from "./names.js";
import { errorAlert, properties, matchSummary } from "./show.js";
import { plural, when } from "./format.js";

const names = {
  release: "Release of held deliveries",
  recover: "Recovery of failed deliveries",
  "replay-missing": "Replay of missed events",
  removal: "Removal of a tenant",
  "code-change": "Change of a group's code",
  erasure: "Erasure",
  reseal: "Re-encryption of secrets",
};

// jobName returns what people call a kind of job.
export function jobName(kind) {
  return names[kind] ?? kind;
}

// progress shows a job and follows it to its end.
/**
 * @param {API["Job"]} job
 * @param {{ canCancel?: boolean, titled?: boolean, signal?: AbortSignal }} options
 */
export function progress(job, { canCancel = true, titled = true, signal }) {
  const at = /** @type {const} */ (`/jobs/${encodeURIComponent(job.id)}`);
  const place = el("div", { class: "job" });
  const status = el("p", { role: "status" });
  const act = el("p", { class: "actions" });
  const end = new AbortController();
  signal?.addEventListener("abort", () => end.abort(), { once: true });
  /** @param {API["Job"]} j */
  const show = (j) => {
    fill(
      status,
      badge(j.status),
      " ",
      plural(j.done, "row"),
      " processed",
      j.skipped > 0 && `, ${j.skipped} skipped`,
      j.why && [": ", userText(j.why)],
    );
    fill(act, j.status === "running" && canCancel && button("Cancel", () => cancel(at, look)));
    if (j.status !== "running") end.abort();
  };
  async function look() {
    try {
      show(await call("GET", at, { signal: end.signal }));
    } catch (e) {
      if (!end.signal.aborted) fill(act, errorAlert(e));
    }
  }
  fill(place, titled && el("h3", {}, link(["jobs", job.id], jobName(job.kind))), status, jobProperties(job), act);
  show(job);
  if (!end.signal.aborted) poll(look, 1000, end.signal);
  return place;
}

/** @param {API["Job"]} job */
function jobProperties(job) {
  return properties([
    ["Started", when(job.created)],
    ["Since", job.since && when(job.since)],
    ["Until", job.until && when(job.until)],
    ["Deliveries per second", job.rate && String(job.rate)],
    ["Registration", job.registration && link(["registrations", job.registration], code(job.registration))],
    ["Source", job.source && nameOf("sources", job.source)],
    ["Match", job.match && matchSummary(job.match)],
  ]);
}

/** @param {`/jobs/${string}`} at */
async function cancel(at, done) {
  if (!(await confirmDialog("Cancel this job?", "It ends after its current chunk. What it has done stays done.", "Cancel job"))) return;
  await call("POST", `${at}/cancel`);
  await done();
}
