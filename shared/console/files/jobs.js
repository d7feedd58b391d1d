// Jobs: durable work in chunks, with its progress.

import { call } from "./call.js";
import { ask } from "./dialog.js";
import { button, code, el, fill, link, said } from "./dom.js";
import { list, repeat } from "./list.js";
import { mark } from "./marks.js";
import { name } from "./names.js";
import { alarm, facts, heading, matching } from "./show.js";
import { tenantChoice } from "./tenants.js";
import { go } from "./route.js";
import { plural, when } from "./words.js";

const names = {
  release: "Release of held deliveries",
  recover: "Recovery of failed deliveries",
  "replay-missing": "Replay of missed events",
  removal: "Removal of a tenant",
  "code-change": "Change of a group's code",
  erasure: "Erasure",
  reseal: "Re-sealing of secrets",
};

// jobName returns what people call a kind of job.
function jobName(kind) {
  return names[kind] ?? kind;
}

export async function jobsPage({ me, query, signal }) {
  const tenant = query.get("tenant") ?? "";
  const columns = [
    { name: "Job", cell: (j) => link(["jobs", j.id], jobName(j.kind)) },
    { name: "Status", cell: (j) => mark(j.status) },
    { name: "Done", cell: (j) => String(j.done) },
    { name: "Started", cell: (j) => when(j.created) },
    { name: "Of", wide: true, cell: (j) => code(j.registration ?? j.source ?? j.group ?? j.tenant ?? "") },
  ];
  const rows = list({
    path: "/jobs",
    query: { tenant },
    columns,
    empty: "No job. Recoveries, replays and removals are listed here while their history is kept.",
    signal,
    live: true,
    label: "Jobs",
  });
  if (me.scope !== "operator") return [heading("Jobs"), rows];
  const of = await tenantChoice({
    label: "Of tenant",
    none: "The operator's own",
    value: tenant,
    changed: (id) => go(location.pathname + (id && "?tenant=" + encodeURIComponent(id))),
  });
  return [heading("Jobs"), el("div", { class: "filters" }, of.node), rows];
}

export async function jobPage({ me, params, signal }) {
  const at = `/jobs/${encodeURIComponent(params.id)}`;
  const job = await call("GET", at, { signal });
  return [
    heading(jobName(job.kind), { crumbs: [link("jobs", "Jobs")] }),
    progress(job, { canCancel: me.scope !== "read", titled: false, signal }),
  ];
}

// progress shows a job and follows it to its end.
export function progress(job, { canCancel = true, titled = true, signal }) {
  const at = `/jobs/${encodeURIComponent(job.id)}`;
  const place = el("div", { class: "job" });
  const status = el("p", { role: "status" });
  const act = el("p", { class: "actions" });
  const end = new AbortController();
  signal?.addEventListener("abort", () => end.abort(), { once: true });
  const show = (j) => {
    fill(
      status,
      mark(j.status),
      " ",
      plural(j.done, "row"),
      " dealt with",
      j.skipped > 0 && `, ${j.skipped} skipped`,
      j.why && [": ", said(j.why)],
    );
    fill(act, j.status === "running" && canCancel && button("Cancel", () => cancel(at, look)));
    if (j.status !== "running") end.abort();
  };
  async function look() {
    try {
      show(await call("GET", at, { signal: end.signal }));
    } catch (e) {
      if (!end.signal.aborted) fill(act, alarm(e));
    }
  }
  fill(place, titled && el("h3", {}, link(["jobs", job.id], jobName(job.kind))), status, jobFacts(job), act);
  show(job);
  if (!end.signal.aborted) repeat(look, 1000, end.signal);
  return place;
}

function jobFacts(job) {
  return facts([
    ["Started", when(job.created)],
    ["Since", job.since && when(job.since)],
    ["Until", job.until && when(job.until)],
    ["Deliveries per second", job.rate && String(job.rate)],
    ["Registration", job.registration && link(["registrations", job.registration], code(job.registration))],
    ["Source", job.source && name("sources", job.source)],
    ["Match", job.match && matching(job.match)],
  ]);
}

async function cancel(at, done) {
  if (!(await ask("Cancel this job?", "It ends after its current chunk. What it has done stays done.", "Cancel job"))) return;
  await call("POST", at + "/cancel");
  await done();
}
