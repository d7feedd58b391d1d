// @ts-check

// One delivery: its attempts, its event, and a resend.

import { allRows, call } from "../parts/call.js";
import { registrationName } from "../parts/columns.js";
import { button, code, el, fill, link, userText } from "../parts/dom.js";
import { eventProperties } from "../parts/eventproperties.js";
import { waits } from "../parts/facts.js";
import { poll } from "../parts/list.js";
import { badge } from "../parts/badge.js";
import { payload } from "../parts/payload.js";
import { errorAlert, properties, heading, notice, section } from "../parts/show.js";
import { timeline } from "../parts/timeline.js";
import { when } from "../parts/format.js";

const reasons = {
  circuit: "the endpoint accepts nothing at the moment",
  gone: "the endpoint wants no more (410)",
  exhausted: "the schedule is used up",
  internal: "it could not be attempted here",
  registration_deleted: "the registration was deleted",
};

/** @param {PageContext} context */
export async function deliveryPage({ me, params, signal }) {
  const at = /** @type {const} */ (`/deliveries/${encodeURIComponent(params.id)}`);
  const delivery = await call("GET", at, { signal });
  const [registration, event] = await Promise.all([
    orNull(call("GET", `/registrations/${encodeURIComponent(delivery.registration)}`, { signal })),
    orNull(call("GET", `/events/${encodeURIComponent(delivery.event)}`, { signal })),
  ]);
  const schedule = registration ? await waits(registration.schedule) : [];
  const shown = await follow(delivery, at, signal, (d) => deliveryProperties(d, registration), schedule);
  const resend = async () => {
    await call("POST", `${at}/resend`).catch((e) => fill(shown.state, errorAlert(e)));
    setTimeout(shown.refresh, 300);
  };
  const actions = me.scope === "read" ? [] : [button("Resend", resend, { class: "primary" })];
  const noEvent = notice("The event is not kept any more, or no longer yours to see.");
  const eventSection = section("Event", {}, event ? [eventProperties(event), await payload(event, signal)] : noEvent);
  return [
    heading(userText(delivery.event_type), { crumbs: [link("deliveries", "Deliveries")], actions }),
    shown.summary,
    shown.state,
    el("div", { class: "halves" }, section("Attempts", {}, shown.history), eventSection),
  ];
}

// follow shows a delivery's properties and attempts, and updates them when they
// change; refresh does so at once.
/**
 * @param {API["Delivery"]} delivery
 * @param {`/deliveries/${string}`} at
 * @param {AbortSignal} signal
 * @param {(d: API["Delivery"]) => Child} summarise
 * @param {string[]} schedule
 */
async function follow(delivery, at, signal, summarise, schedule) {
  const state = el("div", { class: "state" });
  const summary = el("div", { class: "stack" });
  const history = el("div", {});
  let shownText = "";

  /** @param {API["Delivery"]} d */
  async function show(d) {
    const text = JSON.stringify(d);
    if (text === shownText) return;
    shownText = text;
    fill(summary, summarise(d));
    fill(history, timeline(d, await attemptsOf(d, at, signal), schedule));
    fill(state);
  }
  async function refresh() {
    if (document.hidden) return;
    try {
      await show(await call("GET", at, { signal }));
    } catch (e) {
      if (!signal.aborted) fill(state, errorAlert(e));
    }
  }
  await show(delivery);
  poll(refresh, 2000, signal);
  return { state, summary, history, refresh };
}

/**
 * @template T
 * @param {Promise<T>} promise
 * @returns {Promise<T | null>}
 */
function orNull(promise) {
  return promise.catch((e) => {
    if (e.status === 404 || e.status === 403) return null;
    throw e;
  });
}

/**
 * @param {API["Delivery"]} d
 * @param {API["Registration"] | null} registration
 */
function deliveryProperties(d, registration) {
  return properties([
    ["Status", [badge(d.status), d.why && el("span", { class: "soft" }, " · ", userText(reasons[d.why] ?? d.why))]],
    ["Next attempt", d.next_attempt && when(d.next_attempt)],
    ["Registration", link(["registrations", d.registration], userText(registration ? registrationName(registration) : d.registration))],
    ["Made by", d.replay && "a replay"],
    ["Id", code(d.id)],
  ]);
}

// attemptsOf returns all attempts. The API's delivery has the first hundred.
/**
 * @param {API["Delivery"]} d
 * @param {`/deliveries/${string}`} at
 * @param {AbortSignal} signal
 */
function attemptsOf(d, at, signal) {
  const first = d.attempts ?? [];
  return first.length < 100 ? first : allRows(`${at}/attempts`, { signal });
}
