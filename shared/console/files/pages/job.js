// @ts-check

// One job.

import { call } from "../parts/call.js";
import { link } from "../parts/dom.js";
import { jobName, progress } from "../parts/progress.js";
import { heading } from "../parts/show.js";

/** @param {PageContext} context */
export async function jobPage({ me, params, signal }) {
  const at = /** @type {const} */ (`/jobs/${encodeURIComponent(params.id)}`);
  const job = await call("GET", at, { signal });
  return [
    heading(jobName(job.kind), { crumbs: [link("jobs", "Jobs")] }),
    progress(job, { canCancel: me.scope !== "read", titled: false, signal }),
  ];
}
