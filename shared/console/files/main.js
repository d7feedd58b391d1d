// @ts-check

// The console's frame: signing in and out, the menu, and the page of the
// current address.

import { deliveriesPage } from "./pages/deliveries.js";
import { deliveryPage } from "./pages/delivery.js";
import { editRegistrationPage } from "./pages/editregistration.js";
import { eventPage } from "./pages/event.js";
import { eventsPage } from "./pages/events.js";
import { groupPage } from "./pages/group.js";
import { groupsPage } from "./pages/groups.js";
import { jobPage } from "./pages/job.js";
import { jobsPage } from "./pages/jobs.js";
import { keysPage } from "./pages/keys.js";
import { newRegistrationPage } from "./pages/newregistration.js";
import { newSourcePage } from "./pages/newsource.js";
import { queuesPage } from "./pages/queues.js";
import { registrationPage } from "./pages/registration.js";
import { registrationsPage } from "./pages/registrations.js";
import { signInPage } from "./pages/signin.js";
import { sourcePage } from "./pages/source.js";
import { sourcesPage } from "./pages/sources.js";
import { tenantPage } from "./pages/tenant.js";
import { tenantsPage } from "./pages/tenants.js";
import { signOut, fetchMe } from "./parts/call.js";
import { el, fill, link, path } from "./parts/dom.js";
import { findPage, navigate } from "./parts/route.js";
import { errorAlert, heading, notice, loading } from "./parts/show.js";

const routes = [
  ["deliveries", deliveriesPage],
  ["deliveries/:id", deliveryPage],
  ["events", eventsPage],
  ["events/:id", eventPage],
  ["registrations", registrationsPage],
  ["registrations/new", newRegistrationPage],
  ["registrations/:id", registrationPage],
  ["registrations/:id/edit", editRegistrationPage],
  ["sources", sourcesPage],
  ["sources/new", newSourcePage],
  ["sources/:id", sourcePage],
  ["tenants", tenantsPage],
  ["tenants/:id", tenantPage],
  ["groups", groupsPage],
  ["groups/:id", groupPage],
  ["keys", keysPage],
  ["jobs", jobsPage],
  ["jobs/:id", jobPage],
  ["queues", queuesPage],
];

// menus lists the menu entries of each scope. The first entry is the start page.
const tenantMenu = ["deliveries", "registrations", "events", "sources", "jobs", "keys"];
const menus = {
  operator: ["sources", "tenants", "groups", "deliveries", "events", "registrations", "queues", "jobs", "keys"],
  full: tenantMenu,
  read: tenantMenu.filter((entry) => entry !== "keys"),
  "group-owner": ["groups"],
  set_http_callback: [],
};

const main = el("main", { id: "content", tabindex: -1 });
const header = el("header", { class: "bar" });
let me = null;
let page = new AbortController(); // aborted when another page is shown

async function start() {
  document.body.append(el("a", { class: "skip", href: "#content" }, "Skip to content"), header, main);
  document.addEventListener("click", follow);
  document.addEventListener("moved", show);
  document.addEventListener("signedout", signedOut);
  window.addEventListener("popstate", show);
  fill(main, loading());
  try {
    me = await fetchMe();
  } catch (e) {
    return fill(
      main,
      errorAlert(e, () => location.reload()),
    );
  }
  show();
}

// follow shows the page of a clicked link without loading the document again.
function follow(e) {
  const a = e.target.closest?.("a[href^='/console/']");
  if (!a || e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey || a.hasAttribute("download")) return;
  e.preventDefault();
  navigate(a.getAttribute("href"));
}

function signedOut() {
  if (me === null) return;
  me = null;
  show();
}

async function show() {
  page.abort();
  page = new AbortController();
  const { signal } = page;
  drawHeader();
  if (me === null) return fill(main, signInPage(signedIn));
  const route = findPage(routes, location.pathname);
  if (route === null && location.pathname.replace(/\/$/, "") === "/console") return showStartPage();
  fill(main, loading());
  try {
    const content = route ? await route.page({ me, params: route.params, query: new URLSearchParams(location.search), signal }) : notFoundPage();
    if (!signal.aborted) display(content);
  } catch (e) {
    if (!signal.aborted && me !== null) fill(main, heading("This page cannot be shown"), errorAlert(e, show));
  }
}

// display shows a page and moves the focus to its heading.
function display(content) {
  fill(main, content);
  const h = main.querySelector("h1");
  document.title = `${h?.textContent ?? "Console"} – Ringback`;
  h?.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function showStartPage() {
  const [first] = menus[me.scope] ?? [];
  if (first) return navigate(path(first), { replace: true });
  display([
    heading("Nothing to see with this key"),
    notice(
      "Its scope, ",
      el("code", {}, me.scope),
      ", can set callbacks through ",
      el("code", {}, "/api/simple.html"),
      " and nothing else.",
    ),
  ]);
}

function notFoundPage() {
  return [heading("There is no such page"), el("p", {}, link([], "Begin again"))];
}

function signedIn(account) {
  me = account;
  show();
}

async function leave() {
  await signOut();
  me = null;
  navigate("/console");
}

function drawHeader() {
  const brand = el("a", { class: "brand", href: "/console/" }, "Ringback");
  if (me === null) return fill(header, brand);
  const here = location.pathname.split("/")[2] ?? "";
  const entries = (menus[me.scope] ?? []).map((entry) =>
    el("li", {}, el("a", { href: path(entry), "aria-current": entry === here && "page" }, entry[0].toUpperCase() + entry.slice(1))),
  );
  const name = el(
    "span",
    { class: "who" },
    el("bdi", {}, me.tenant?.name ?? me.group ?? "Operator"),
    el("span", { class: "scope" }, me.tenant ? me.scope : ""),
  );
  fill(
    header,
    brand,
    el("nav", { "aria-label": "Main" }, el("ul", {}, entries)),
    el("div", { class: "account" }, name, el("button", { type: "button", class: "quiet", click: leave }, "Sign out")),
  );
}

start();
