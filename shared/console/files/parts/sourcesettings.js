// @ts-check

// Settings of a source, and the erasure of its events.

import { call } from "./call.js";
import { formDialog } from "./dialog.js";
import { button, el, path } from "./dom.js";
import { routingKeys } from "./facts.js";
import { choiceField, linesField, matchField, textField } from "./fields.js";
import { form } from "./form.js";
import { navigate } from "./route.js";
import { disclosure, section } from "./show.js";

/**
 * @param {API["Source"]} source
 * @param {`/sources/${string}`} at
 */
export function settings(source, at, reload) {
  const fields = [
    textField("name", { label: "Name", value: source.name, required: true }),
    linesField("ignore_event_types", {
      label: "Event types to drop",
      value: source.ignore_event_types,
      clears: true,
      hint: "Acknowledged and counted, but not kept; one a line, * may end an entry.",
    }),
    choiceField("history", {
      label: "History",
      value: source.history,
      required: true,
      options: [
        ["full", "every event and delivery"],
        ["failures", "only what was not delivered at once"],
      ],
    }),
    ...providerFields(source),
  ];
  const send = async ({ api_key, base_url, ...v }) => {
    if (source.provider === "smartbots") v.upstream = { api_key, base_url };
    await call("PATCH", at, { body: v });
    reload();
  };
  return section("Settings", {}, disclosure("Change", form({ fields, submit: "Save", send })), erasure(source));
}

/** @param {API["Source"]} source */
function providerFields(source) {
  if (source.provider === "direct")
    return [
      linesField("allow", { label: "Addresses that may call", value: source.allow, clears: true, hint: "Addresses or prefixes, one a line; none: all." }),
    ];
  if (source.provider === "smartbots")
    return [
      textField("api_key", {
        label: "SmartBots developer API key",
        type: "password",
        value: source.upstream?.api_key,
        mono: true,
        hint: "*** keeps what is set.",
      }),
      textField("base_url", { label: "Address of the SmartBots API", value: source.upstream?.base_url, mono: true }),
    ];
  return [];
}

// erasure returns a button that erases events at the request of a data subject.
/** @param {API["Source"]} source */
function erasure(source) {
  const open = async () => {
    const match = matchField("match", {
      label: "Of events with",
      kinds: await routingKeys(source.provider),
      hint: "Payloads and routing keys of the events that match are erased for good.",
    });
    return formDialog("Erase what is kept", "For the request of somebody whose data passed through.", (close) =>
      form({
        fields: [match],
        submit: "Erase",
        danger: true,
        cancel: close,
        send: async (v, retryKey) => {
          const job = await call("POST", "/erasures", {
            body: { source: source.id, match: v.match ?? {} },
            headers: { "Idempotency-Key": retryKey },
          });
          close();
          navigate(path("jobs", job.id));
        },
      }),
    );
  };
  return el("p", {}, button("Erase events of a person…", open, { class: "quiet" }));
}
