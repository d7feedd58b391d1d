// Registration of a group at SmartBots.

import { call } from "./call.js";
import { sheet } from "./dialog.js";
import { path } from "./dom.js";
import { text } from "./fields.js";
import { form } from "./form.js";
import { go } from "./route.js";

// connectGroup asks for a group and has SmartBots call the source for it.
export function connectGroup(source) {
  const fields = [
    text("name", { label: "Group", required: true, hint: "As it is listed with SmartBots." }),
    text("security_code", { label: "Group Security Code", type: "password", required: true }),
  ];
  return sheet("Register a group at SmartBots", "SmartBots is asked with the API key of this source.", (close) =>
    form({
      fields,
      submit: "Register",
      cancel: close,
      send: async (body) => {
        const made = await call("POST", `/sources/${encodeURIComponent(source.id)}/groups`, { body });
        close();
        go(path("groups", made.id));
      },
    }),
  );
}
