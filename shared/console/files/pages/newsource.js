// @ts-check

// A new source.

import { call } from "../parts/call.js";
import { el, fill, link, path } from "../parts/dom.js";
import { choiceField, linesField, textField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { navigate } from "../parts/route.js";
import { heading } from "../parts/show.js";
import { providers } from "../parts/sources.js";

export function newSourcePage() {
  const providerFields = el("div", { class: "stack" });
  let fields = [];
  const provider = choiceField("provider", { label: "Provider", options: providers, value: "tencent-chat", required: true, changed: draw });
  const name = textField("name", { label: "Name", required: true, hint: "For you and for the tenants that are granted it." });
  function draw(id) {
    fields = fieldsOf(id);
    fill(
      providerFields,
      fields.map((f) => f.node),
    );
  }
  draw("tencent-chat");
  const read = () => Object.fromEntries(fields.map((f) => [f.name, f.read()]).filter(([, v]) => v !== undefined));
  const send = async (v, retryKey) => {
    const source = await call("POST", "/sources", { body: { ...v, ...body(read()) }, headers: { "Idempotency-Key": retryKey } });
    navigate(path("sources", source.id));
  };
  const content = [provider.node, name.node, providerFields];
  return [
    heading("New source", { crumbs: [link("sources", "Sources")] }),
    form({ fields: [provider, name], content, submit: "Create source", send, cancel: () => navigate(path("sources")) }),
  ];
}

function fieldsOf(provider) {
  switch (provider) {
    case "tencent-chat":
      return [
        textField("sdk_app_id", {
          label: "SDKAppID",
          required: true,
          mono: true,
          hint: "The number of the application. One application is one source.",
        }),
        textField("token", {
          label: "Authentication token",
          type: "password",
          mono: true,
          hint: "The token that you set for callbacks in Tencent's console. Without it the URL alone proves who calls.",
        }),
      ];
    case "direct":
      return [
        textField("login", {
          label: "Login",
          mono: true,
          hint: "With a password, every callback must bring both as Basic authorization. Direct takes them from the callbackUrl.",
        }),
        textField("password", { label: "Password", type: "password", mono: true }),
        linesField("allow", {
          label: "Addresses that may call",
          rows: 2,
          hint: "Addresses such as 185.203.96.7, or prefixes, one a line; none: all. The Russian installation names that one address.",
        }),
      ];
    default:
      return [
        textField("api_key", {
          label: "SmartBots developer API key",
          type: "password",
          mono: true,
          hint: "With it, groups and codes that are unknown here are asked of SmartBots itself, with this source's callback URL.",
        }),
        textField("base_url", { label: "Address of the SmartBots API", mono: true, hint: "Only if it is not SmartBots' own." }),
      ];
  }
}

// body returns the API's fields for the values of the form.
function body({ sdk_app_id, login, password, api_key, base_url, ...rest }) {
  if (sdk_app_id !== undefined) rest.sdk_app_id = Number(sdk_app_id);
  if (login !== undefined || password !== undefined) rest.basic = { login: login ?? "", password: password ?? "" };
  if (api_key !== undefined || base_url !== undefined) rest.upstream = { api_key, base_url };
  return rest;
}
