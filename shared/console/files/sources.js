// The list of sources, and a new one.

import { all, call } from "./call.js";
import { el, fill, link, path, said } from "./dom.js";
import { choice, lines, text } from "./fields.js";
import { form } from "./form.js";
import { list } from "./list.js";
import { go } from "./route.js";
import { heading, matching } from "./show.js";
import { ago, when } from "./words.js";

const providers = [
  ["tencent-chat", "Tencent Cloud Chat"],
  ["direct", "Direct messaging"],
  ["smartbots", "SmartBots"],
];

// providerName returns what people call a provider.
export function providerName(id) {
  return providers.find(([p]) => p === id)?.[1] ?? id;
}

export function sourcesPage({ me, signal }) {
  return me.scope === "operator" ? operatorSources(signal) : grantedSources(signal);
}

function operatorSources(signal) {
  const columns = [
    { name: "Source", cell: (s) => link(["sources", s.id], said(s.name)) },
    { name: "Provider", cell: (s) => providerName(s.provider) },
    { name: "Last event", cell: (s) => lastEvent(s.id, signal) },
    { name: "History kept", wide: true, cell: (s) => s.history },
    { name: "Created", wide: true, cell: (s) => when(s.created) },
  ];
  const empty = "No source yet. A source is one account at a provider: it gets a callback URL for you to enter there.";
  return [
    heading("Sources", { actions: [el("a", { class: "button primary", href: path("sources", "new") }, "New source")] }),
    list({ path: "/sources", columns, empty, signal, label: "Sources" }),
  ];
}

// lastEvent tells when a source's newest event came; silence is no proof of
// health where a provider may forget a callback.
export function lastEvent(source, signal) {
  const place = el("span", {}, "…");
  call("GET", "/events", { query: { source, limit: 1 }, signal })
    .then((page) =>
      fill(
        place,
        page.data[0] ? [when(page.data[0].received), el("span", { class: "soft" }, " · ", ago(page.data[0].received))] : "none kept",
      ),
    )
    .catch(() => fill(place, "unknown"));
  return place;
}

async function grantedSources(signal) {
  const rows = await all("/sources", { signal });
  const columns = [
    { name: "Source", cell: (s) => link(["sources", s.id], said(s.name)) },
    { name: "Provider", cell: (s) => providerName(s.provider) },
    { name: "You may receive", cell: (s) => granted(s) },
    { name: "Documented event types", wide: true, cell: (s) => s.event_types?.length ?? 0 },
  ];
  return [
    heading("Sources", { about: "What the operator has granted you. A registration picks events of one source." }),
    rows.length === 0
      ? el("p", { class: "empty" }, "Nothing is granted yet. Ask the operator for a grant.")
      : list({ path: "/sources", columns, empty: "", signal, label: "Sources" }),
  ];
}

// granted shows what a tenant may receive of a source.
export function granted(s) {
  return (s.matches ?? [s.match]).map((m) => el("div", {}, matching(m)));
}

export function newSourcePage() {
  const own = el("div", { class: "stack" });
  let fields = [];
  const provider = choice("provider", { label: "Provider", options: providers, value: "tencent-chat", required: true, changed: draw });
  const name = text("name", { label: "Name", required: true, hint: "For you and for the tenants that are granted it." });
  function draw(id) {
    fields = fieldsOf(id);
    fill(
      own,
      fields.map((f) => f.node),
    );
  }
  draw("tencent-chat");
  const read = () => Object.fromEntries(fields.map((f) => [f.name, f.read()]).filter(([, v]) => v !== undefined));
  const send = async (v, once) => {
    const made = await call("POST", "/sources", { body: { ...v, ...body(read()) }, headers: { "Idempotency-Key": once } });
    go(path("sources", made.id));
  };
  const content = [provider.node, name.node, own];
  return [
    heading("New source", { crumbs: [link("sources", "Sources")] }),
    form({ fields: [provider, name], content, submit: "Create source", send, cancel: () => go(path("sources")) }),
  ];
}

function fieldsOf(provider) {
  switch (provider) {
    case "tencent-chat":
      return [
        text("sdk_app_id", {
          label: "SDKAppID",
          required: true,
          mono: true,
          hint: "The number of the application. One application is one source.",
        }),
        text("token", {
          label: "Authentication token",
          type: "password",
          mono: true,
          hint: "The token that you set for callbacks in Tencent's console. Without it the URL alone proves who calls.",
        }),
      ];
    case "direct":
      return [
        text("login", {
          label: "Login",
          mono: true,
          hint: "With a password, every callback must bring both as Basic authorization. Direct takes them from the callbackUrl.",
        }),
        text("password", { label: "Password", type: "password", mono: true }),
        lines("allow", {
          label: "Addresses that may call",
          rows: 2,
          hint: "Addresses such as 185.203.96.7, or prefixes, one a line; none: all. The Russian installation names that one address.",
        }),
      ];
    default:
      return [
        text("api_key", {
          label: "SmartBots developer API key",
          type: "password",
          mono: true,
          hint: "With it, groups and codes that are unknown here are asked of SmartBots itself, with this source's callback URL.",
        }),
        text("base_url", { label: "Address of the SmartBots API", mono: true, hint: "Only if it is not SmartBots' own." }),
      ];
  }
}

// body turns what was entered into fields of the API.
function body({ sdk_app_id, login, password, api_key, base_url, ...rest }) {
  if (sdk_app_id !== undefined) rest.sdk_app_id = Number(sdk_app_id);
  if (login !== undefined || password !== undefined) rest.basic = { login: login ?? "", password: password ?? "" };
  if (api_key !== undefined || base_url !== undefined) rest.upstream = { api_key, base_url };
  return rest;
}
