// @ts-check

// A timeline of a delivery's attempts, with the waits that are still to come.

import { el } from "./dom.js";
import { statusIcon } from "./badge.js";
import { disclosure, pre } from "./show.js";
import { shortDuration, duration, parseSeconds, when } from "./format.js";

const maxUpcoming = 4; // waits that are shown one by one; the rest is one line

// timeline shows the attempts of d, and those to come by schedule, a list of waits.
/**
 * @param {API["Delivery"]} d
 * @param {API["Attempt"][]} attempts
 * @param {string[]} schedule
 */
export function timeline(d, attempts, schedule) {
  const steps = [step("received", [when(d.received)], "Event received")];
  let before = d.received;
  for (const a of attempts) {
    steps.push(attempt(a, before));
    before = a.at;
  }
  if (d.why === "circuit") steps.push(step("next", [], "Next attempt once the endpoint accepts again, or as a probe of it"));
  else if (d.status === "pending" || d.next_attempt) steps.push(...upcoming(d, schedule));
  if (d.status === "held") steps.push(step("held", [when(d.since)], "Held until the registration is enabled"));
  if (d.status === "cancelled") steps.push(step("cancelled", [when(d.since)], "Cancelled"));
  return el("ol", { class: "timeline" }, steps);
}

function step(status, time, title, ...detail) {
  return el(
    "li",
    {},
    statusIcon(status),
    el("div", {}, el("p", { class: "step" }, el("b", {}, title), el("span", { class: "soft" }, time)), detail),
  );
}

/**
 * @param {API["Attempt"]} a
 * @param {string} before
 */
function attempt(a, before) {
  const gap = Math.round((new Date(a.at).getTime() - new Date(before).getTime()) / 1000);
  const title = [a.class === "" ? "Accepted" : "Refused", a.manual && " (resend)"];
  const code = a.status_code ? `${a.status_code}` : a.class;
  return step(
    a.class === "" ? "succeeded" : "failed",
    [when(a.at), gap > 0 ? ` · ${duration(gap)} later` : " · at once"],
    [code, " ", title],
    el("p", {}, a.explanation, el("span", { class: "soft" }, a.explanation && " ", "It took ", shortDuration(a.took), ".")),
    a.error && a.error !== a.explanation && el("p", { class: "mono" }, el("bdi", {}, a.error)),
    a.answer && disclosure("Answer", pre(a.answer, "Answer of the endpoint")),
  );
}

// upcoming returns the attempts that will be made if each fails. Waits have a
// jitter of a fifth, so only the time of the next attempt is exact.
/** @param {API["Delivery"]} d */
function upcoming(d, schedule) {
  const next = new Date(d.next_attempt ?? Date.now());
  const steps = [step("next", [when(next.toISOString())], "Next attempt")];
  if (d.status !== "pending") return steps;
  const rest = schedule.slice(d.attempts_made);
  let at = next.getTime();
  for (const wait of rest.slice(0, maxUpcoming)) {
    at += parseSeconds(wait) * 1000;
    steps.push(step("later", ["about ", when(new Date(at).toISOString())], `If refused, ${duration(parseSeconds(wait))} later`));
  }
  if (rest.length > maxUpcoming) {
    for (const wait of rest.slice(maxUpcoming)) at += parseSeconds(wait) * 1000;
    steps.push(step("later", ["about ", when(new Date(at).toISOString())], `${rest.length - maxUpcoming} more, the last`));
  }
  return steps;
}
