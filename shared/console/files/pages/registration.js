// @ts-check

// One registration, with all its actions.

import { call } from "../parts/call.js";
import { deliveryColumns, failing } from "../parts/columns.js";
import { confirmDialog, secretDialog } from "../parts/dialog.js";
import { button, code, el, fill, link, path, userText } from "../parts/dom.js";
import { dryRun } from "../parts/dryrun.js";
import { textField } from "../parts/fields.js";
import { list, poll } from "../parts/list.js";
import { badge } from "../parts/badge.js";
import { nameOf } from "../parts/names.js";
import { redeliver } from "../parts/redeliver.js";
import { navigate } from "../parts/route.js";
import { validity, rotateDialog } from "../parts/secrets.js";
import { errorAlert, properties, heading, matchSummary, notice, section } from "../parts/show.js";
import { shortDuration, when } from "../parts/format.js";

/** @param {API["EndpointHealth"]} h */
function health(h) {
  if (!h.failing_since) return badge("succeeded", "accepts");
  const probe = h.circuit === "open" && [". The circuit is open: the next attempt is made after ", when(h.next_probe)];
  return [failing(h), el("span", { class: "soft" }, " since ", when(h.failing_since), probe)];
}

/** @param {PageContext} context */
export async function registrationPage({ me, params, signal }) {
  const at = /** @type {const} */ (`/registrations/${encodeURIComponent(params.id)}`);
  const r = await call("GET", at, { signal });
  const state = el("div", { class: "state" });
  const canUse = me.scope === "full" && r.state !== "removed";
  const canChange = (canUse || me.scope === "operator") && r.state !== "removed";
  return [
    heading(userText(r.description || r.app_name || r.url), {
      crumbs: [link("registrations", "Registrations")],
      actions: [
        canUse && sendTest(at, state, signal),
        canChange && (r.ordered && r.state !== "enabled" ? resume(at) : toggle(r, at)),
        canUse && el("a", { class: "button", href: path("registrations", r.id, "edit") }, "Change"),
        canChange && remove(at),
      ],
    }),
    state,
    summary(r),
    section(
      "Signing secret",
      {
        about: "Each delivery is signed by the Standard Webhooks scheme. While a secret is replaced, both sign.",
        actions: [canUse && button("Rotate", () => rotateDialog("Replace the signing secret", `${at}/rotate`, "24h", showNewSecret))],
      },
      validity("Secret", r.secrets, "None."),
    ),
    r.raw_tokens &&
      section("Raw token", { actions: [canUse && button("Rotate", () => rotateToken(at))] }, validity("Token", r.raw_tokens, "None.")),
    section(
      "Newest deliveries",
      { actions: [el("a", { class: "button", href: path("deliveries") + "?registration=" + encodeURIComponent(r.id) }, "All deliveries")] },
      list({
        path: "/deliveries",
        query: { registration: r.id, limit: 10 },
        columns: deliveryColumns().slice(0, 5),
        empty: "None yet.",
        signal,
        live: true,
        label: "Newest deliveries",
      }),
    ),
    canUse && section("Deliver again", {}, redeliver(at, signal)),
    me.scope !== "operator" &&
      r.state !== "removed" &&
      section("Dry run", { about: "Which of the kept events it would get." }, dryRun(r.id, signal)),
  ];
}

/** @param {API["Registration"]} rotated */
async function showNewSecret(rotated) {
  await secretDialog("New signing secret", "signing secret", rotated.secret, rotated.note);
  navigate(location.pathname, { replace: true });
}

/** @param {`/registrations/${string}`} at */
function rotateToken(at) {
  const token = textField("raw_token", { label: "New token", type: "password", required: true, mono: true });
  return rotateDialog("Replace the raw token", at + "/raw-token/rotate", "24h", () => navigate(location.pathname, { replace: true }), [token]);
}

/** @param {API["Registration"]} r */
function summary(r) {
  return properties([
    [
      "State",
      [badge(r.state), r.why && el("span", { class: "soft" }, " · ", userText(r.why)), el("span", { class: "soft" }, " since ", when(r.since))],
    ],
    ["Endpoint", el("bdi", { class: "mono" }, r.url)],
    ["Endpoint's health", r.health && health(r.health)],
    ["Consented", r.proven && when(r.proven)],
    ["Source", link(["sources", r.source], nameOf("sources", r.source))],
    ["Event types", r.event_types.map((t) => el("code", { class: "type" }, t))],
    ["Match", matchSummary(r.match, "all that is granted")],
    ["Format", r.format],
    ["Schedule", Array.isArray(r.schedule) ? r.schedule.map(shortDuration).join(", ") : r.schedule],
    ["Time limit", shortDuration(r.timeout)],
    ["Deliveries per second", r.rate > 0 && String(r.rate)],
    ["POSTs at once", r.concurrency > 0 && String(r.concurrency)],
    ["Order", r.ordered && "one at a time per group"],
    ["Headers", Object.keys(r.headers).length > 0 && el("bdi", { class: "mono" }, Object.keys(r.headers).join(", "))],
    ["Application", r.app_name && userText(r.app_name)],
    ["Id", code(r.id)],
  ]);
}

/**
 * @param {`/registrations/${string}`} at
 * @param {Element} state
 * @param {AbortSignal} signal
 */
function sendTest(at, state, signal) {
  return button("Send a test event", async () => {
    try {
      const sent = await call("POST", `${at}/test`);
      fill(state, notice("A test event is on its way."));
      const found = new AbortController();
      signal.addEventListener("abort", () => found.abort(), { once: true });
      poll(() => arrived(sent, state, found), 500, found.signal);
    } catch (e) {
      fill(state, errorAlert(e));
    }
  });
}

// arrived checks whether the delivery of a test event is listed.
async function arrived(sent, state, found) {
  const page = await call("GET", "/deliveries", { query: { event: sent.event }, signal: found.signal }).catch(() => ({ data: [] }));
  if (page.data.length === 0) return;
  found.abort();
  fill(state, notice("The test event was handed on: ", link(["deliveries", sent.delivery], "see its delivery"), "."));
}

/**
 * @param {API["Registration"]} r
 * @param {`/registrations/${string}`} at
 */
function toggle(r, at) {
  const enabled = r.state === "enabled";
  return button(enabled ? "Disable" : "Enable", async () => {
    if (
      enabled &&
      !(await confirmDialog("Disable this registration?", "Its events are held, not lost, until it is enabled.", "Disable", { danger: false }))
    )
      return;
    await call("POST", `${at}/${enabled ? "disable" : "enable"}`);
    navigate(location.pathname, { replace: true });
  });
}

// resume returns the buttons that enable an ordered registration. One sends held
// deliveries before later ones, the other leaves them held.
/** @param {`/registrations/${string}`} at */
function resume(at) {
  const enable = (label, held) =>
    button(label, async () => {
      await call("POST", `${at}/enable`, { body: { held } });
      navigate(location.pathname, { replace: true });
    });
  return [enable("Enable, held ones first", "release"), enable("Enable, skip held ones", "skip")];
}

/** @param {`/registrations/${string}`} at */
function remove(at) {
  return button(
    "Delete",
    async () => {
      if (
        !(await confirmDialog(
          "Delete this registration?",
          "Pending deliveries are cancelled. What was delivered stays listed.",
          "Delete registration",
        ))
      )
        return;
      await call("DELETE", at);
      navigate(path("registrations"));
    },
    { class: "danger" },
  );
}
