// Signing in with a key.

import { signIn } from "./call.js";
import { el } from "./dom.js";
import { text } from "./fields.js";
import { form } from "./form.js";
import { heading } from "./show.js";

// signInPage calls done with whose key it is.
export function signInPage(done) {
  const key = text("key", {
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
