// @ts-check

// Queues and their dead letters.

import { call } from "../parts/call.js";
import { confirmDialog } from "../parts/dialog.js";
import { button, el, fill } from "../parts/dom.js";
import { poll } from "../parts/list.js";
import { badge } from "../parts/badge.js";
import { errorAlert, heading, section } from "../parts/show.js";
import { duration } from "../parts/format.js";

const about = {
  events: "From the providers' callbacks to the worker. It is nearly always empty.",
  retry: "Attempts that are handed out for the coming minutes.",
  slow: "Attempts at endpoints that are slow, failing or not known yet. Here they delay no others.",
};

/** @param {PageContext} context */
export async function queuesPage({ signal }) {
  const sections = el("div", { class: "stack" });
  const state = el("div", { class: "state" });
  async function refresh() {
    try {
      const { data } = await call("GET", "/dead-letters", { signal });
      fill(
        sections,
        data.map((q) => queue(q, refresh)),
      );
      fill(state);
    } catch (e) {
      if (!signal.aborted) fill(state, errorAlert(e));
    }
  }
  await refresh();
  poll(() => document.hidden || sections.contains(document.activeElement) || refresh(), 3000, signal);
  return [
    heading("Queues", {
      about:
        "Counts are approximate. A dead letter came five times and could not be worked on; it may hold acknowledged events, so redrive it once the cause is fixed.",
    }),
    sections,
    state,
  ];
}

/** @param {API["QueueDepth"]} q */
function queue(q, done) {
  const redrive = async () => {
    if (
      !(await confirmDialog(
        "Redrive the dead letters?",
        "They go back to their queue and are worked on again. What was delivered already is not delivered twice.",
        "Redrive",
        { danger: false },
      ))
    )
      return;
    await call("POST", `/dead-letters/${q.queue}/redrive`);
    await done();
  };
  const counts = [
    ["waiting", q.waiting],
    ["in flight", q.in_flight],
    ["delayed", q.delayed],
  ].map(([name, n]) => el("div", { class: "count" }, el("b", {}, String(n)), el("span", {}, name)));
  const late = q.queue === "retry" && pastDue(q.oldest_due);
  const dead = el(
    "div",
    { class: "count" },
    el("b", {}, String(q.dead)),
    badge(q.dead > 0 ? "failed" : "succeeded", q.dead > 0 ? "dead letters" : "no dead letters"),
  );
  return section(
    `${q.queue[0].toUpperCase()}${q.queue.slice(1)} queue`,
    { about: about[q.queue], actions: [q.dead > 0 && button("Redrive", redrive, { class: "primary" })] },
    el("div", { class: "counts" }, counts, dead, late),
  );
}

// pastDue shows how late the oldest attempt is that retry has not claimed yet. Up
// to a minute is normal, since retry runs once a minute.
function pastDue(since) {
  const age = since ? (Date.now() - new Date(since).getTime()) / 1000 : 0;
  return el(
    "div",
    { class: "count" },
    el("b", {}, duration(age)),
    badge(age > 120 ? "failed" : "succeeded", age > 120 ? "past due" : "on time"),
  );
}
