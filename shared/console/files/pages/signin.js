// @ts-check

// Signing in with a key.

import { signIn } from "../parts/call.js";
import { el } from "../parts/dom.js";
import { textField } from "../parts/fields.js";
import { form } from "../parts/form.js";
import { heading } from "../parts/show.js";

// signInPage calls done with the account of the key.
export function signInPage(done) {
  const key = textField("key", {
    label: "API key",
    type: "password",
    required: true,
    mono: true,
    hint: "The operator's key, or a tenant's or group owner's that begins with rbk_. The session lasts eight hours.",
  });
  document.title = "Sign in – Ringback";
  return el(
    "div",
    { class: "signin" },
    heading("Sign in"),
    form({ fields: [key], submit: "Sign in", send: async (v) => done(await signIn(v.key ?? "")) }),
  );
}
