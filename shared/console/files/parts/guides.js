// @ts-check

// Instructions for each provider: how to make it call a source.

import { connectGroup } from "./connectgroup.js";
import { button, code, el } from "./dom.js";
import { copyable, pre } from "./show.js";

// guide returns the steps for a source with the callback URL url.
/** @param {API["Source"]} source */
export function guide(source, url) {
  const steps = { "tencent-chat": tencent, direct, smartbots }[source.provider];
  return steps ? steps(source, url) : el("p", {}, "Enter the callback URL at the provider.");
}

function list(...items) {
  return el(
    "ol",
    { class: "steps" },
    items.filter(Boolean).map((item) => el("li", {}, item)),
  );
}

/** @param {API["Source"]} source */
function tencent(source, url) {
  return list(
    [
      "In the Chat console, open the application ",
      code(String(source.sdk_app_id)),
      " and its callback (webhook) configuration. An application has one callback URL; tenants share it through this source.",
    ],
    [
      "Enter this address. The console takes letters, digits and hyphens only, which is all it holds. A change takes about two minutes to work.",
      copyable("callback URL", url),
    ],
    [
      source.tokens?.length
        ? "Switch authentication on and set the same token that this source has."
        : "Switch authentication on with a token of your own, and set the same token here under Credentials. Until then the address alone proves who calls.",
    ],
    "Switch on the retry of callbacks that time out. It is off at first, and then an event that finds us unreachable is lost.",
    "Choose the events. State.StateChange is frequent; what nobody here wants can be acknowledged and dropped under Settings.",
    "Callbacks named Before or Prev wait for a decision. They are always answered with “allow”, so leave their own default at letting the message through.",
    "Press the console's check. It must report success; it makes no event here.",
  );
}

/** @param {API["Source"]} source */
function direct(source, url) {
  const basic = source.basic?.length;
  const full = basic ? withLogin(url) : url;
  return list(
    [
      "Direct takes the address with every message: put it into ",
      code("callbackUrl"),
      " of each send request.",
      copyable("callbackUrl", full),
    ],
    basic && [
      "Replace ",
      code("LOGIN"),
      " and ",
      code("PASSWORD"),
      " by those of this source, percent-encoded. They are stored encrypted and cannot be shown again.",
    ],
    !basic && "This source asks for no login, so the address alone proves who calls. A login and password can be set under Credentials.",
    [
      "Name what you want in ",
      code("callbackEvents"),
      ": sent, delivered, read, price, click. Without it Direct sends delivered alone, which stands for undelivered and unsent too. Clicks need short links.",
      pre(sample(full), "Sample of a send request"),
    ],
    "A callback names nobody but the message. If tenants send by themselves, give each its own callback URL with a label above, and grant by that label.",
    "Messages from subscribers (WhatsApp) come by a rule of the account: Settings, Inbounds, in the personal account, after asking your manager. Enter the same address there.",
    "Direct repeats a callback every five minutes for a day until it is accepted, so nothing is lost while this gateway is away.",
  );
}

function withLogin(url) {
  return url.replace("://", "://LOGIN:PASSWORD@");
}

function sample(url) {
  return JSON.stringify(
    [
      {
        channelType: "SMS",
        senderName: "…",
        destination: "…",
        content: "…",
        callbackUrl: url,
        callbackEvents: ["sent", "delivered", "read"],
      },
    ],
    null,
    2,
  );
}

/** @param {API["Source"]} source */
function smartbots(source, url) {
  const simple = form({
    action: "set_http_callback",
    apikey: "YOUR_API_KEY",
    secret: "GROUP_SECURITY_CODE",
    group: "GROUP_NAME",
    app_name: "Ringback",
    app_uuid: "A_UUID_OF_YOURS",
    url,
  });
  const bot = form({
    action: "set_http_callback",
    apikey: "YOUR_API_KEY",
    botname: "BOT_NAME",
    secret: "BOT_ACCESS_CODE",
    events: "all",
    operation: "add",
    dataType: "json",
    url,
  });
  return list(
    source.upstream?.api_key
      ? [
          "A group is registered by its security code: here, or by the first tenant that sets a callback with it. SmartBots is asked with this source's API key, and calls this address from then on.",
          el("p", {}, button("Register a group at SmartBots", () => connectGroup(source))),
        ]
      : [
          "For a group, set a developer API key under Settings: then one button here registers it, and tenants can do so by its code. Or register this address yourself:",
          pre("POST https://api.mysmartbots.com/api/simple.html\n\n" + simple, "Registration of a group"),
        ],
    [
      "For a bot, register the address with the bot's access code. Values are percent-encoded.",
      pre("POST https://api.mysmartbots.com/api/bot.html\n\n" + bot, "Registration of a bot"),
    ],
    [
      "The address is all that proves who calls: SmartBots signs nothing. Give each registration its own callback URL with a label, so that one can be replaced alone.",
      copyable("callback URL", url),
    ],
    "SmartBots repeats nothing, and removes callbacks when a group's code changes. Look at the time of the last event now and then.",
  );
}

function form(fields) {
  return Object.entries(fields)
    .map(([k, v]) => `${k}=${v}`)
    .join("\n&");
}
