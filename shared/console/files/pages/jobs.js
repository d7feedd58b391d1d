// @ts-check

// The list of jobs.

import { code, el, link } from "../parts/dom.js";
import { list } from "../parts/list.js";
import { badge } from "../parts/badge.js";
import { jobName } from "../parts/progress.js";
import { navigate } from "../parts/route.js";
import { heading } from "../parts/show.js";
import { tenantChoice } from "../parts/tenantchoice.js";
import { when } from "../parts/format.js";

/** @param {PageContext} context */
export async function jobsPage({ me, query, signal }) {
  const tenant = query.get("tenant") ?? "";
  /** @type {Column<API["Job"]>[]} */
  const columns = [
    { name: "Job", cell: (j) => link(["jobs", j.id], jobName(j.kind)) },
    { name: "Status", cell: (j) => badge(j.status) },
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
  const tenantField = await tenantChoice({
    label: "Of tenant",
    none: "The operator's own",
    value: tenant,
    changed: (id) => navigate(location.pathname + (id && "?tenant=" + encodeURIComponent(id))),
  });
  return [heading("Jobs"), el("div", { class: "filters" }, tenantField.node), rows];
}
