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

// jobName returns the name that a kind of job is shown with.
export function jobName(kind) {
  return names[kind] ?? kind;
}

// progress shows a job and updates it until it ends.
/**
 * @param {API["Job"]} job
 * @param {{ canCancel?: boolean, titled?: boolean, signal?: AbortSignal }} options
 */
export function progress(job, { canCancel = true, titled = true, signal }) {
  const at = /** @type {const} */ (`/jobs/${encodeURIComponent(job.id)}`);
  const element = el("div", { class: "job" });
  const status = el("p", { role: "status" });
  const actions = el("p", { class: "actions" });
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
    fill(actions, j.status === "running" && canCancel && button("Cancel", () => cancel(at, refresh)));
    if (j.status !== "running") end.abort();
  };
  async function refresh() {
    try {
      show(await call("GET", at, { signal: end.signal }));
    } catch (e) {
      if (!end.signal.aborted) fill(actions, errorAlert(e));
    }
  }
  fill(element, titled && el("h3", {}, link(["jobs", job.id], jobName(job.kind))), status, jobProperties(job), actions);
  show(job);
  if (!end.signal.aborted) poll(refresh, 1000, end.signal);
  return element;
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
