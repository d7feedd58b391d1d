// @ts-check

// Registration of a group at SmartBots.

import { call } from "./call.js";
import { formDialog } from "./dialog.js";
import { path } from "./dom.js";
import { textField } from "./fields.js";
import { form } from "./form.js";
import { navigate } from "./route.js";

// connectGroup opens a dialog that registers a group at SmartBots for a source.
/** @param {API["Source"]} source */
export function connectGroup(source) {
  const fields = [
    textField("name", { label: "Group", required: true, hint: "As it is listed with SmartBots." }),
    textField("security_code", { label: "Group Security Code", type: "password", required: true }),
  ];
  return formDialog("Register a group at SmartBots", "SmartBots is asked with the API key of this source.", (close) =>
    form({
      fields,
      submit: "Register",
      cancel: close,
      send: async (body) => {
        const group = await call("POST", `/sources/${encodeURIComponent(source.id)}/groups`, { body });
        close();
        navigate(path("groups", group.id));
      },
    }),
  );
}
