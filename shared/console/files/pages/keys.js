// @ts-check

// The API keys of the account that signed in, and the key ring.

import { call, idempotencyKey } from "../parts/call.js";
import { confirmDialog } from "../parts/dialog.js";
import { button, path } from "../parts/dom.js";
import { keyList } from "../parts/keylist.js";
import { navigate } from "../parts/route.js";
import { heading, section } from "../parts/show.js";

/** @param {PageContext} context */
export function keysPage({ me, signal }) {
  const about =
    me.scope === "operator"
      ? "Keys of the operator. Those of a tenant stand on its page."
      : "Keys of your account. A key's text is shown once, when it is made.";
  const { rows, add } = keyList({ operator: me.scope === "operator", own: me.key, signal });
  return [heading("Keys", { about, actions: [add] }), rows, me.scope === "operator" && keyRing()];
}

// keyRing returns a section with a button that re-encrypts all secrets with the
// first key of the ring.
function keyRing() {
  const detail = "A job encrypts them with the first key of the ring. When it is done with none skipped, the other keys can be removed.";
  const reseal = async () => {
    if (!(await confirmDialog("Re-encrypt all secrets?", detail, "Re-encrypt", { danger: false }))) return;
    const job = await call("POST", "/reseal", { headers: { "Idempotency-Key": idempotencyKey() } });
    navigate(path("jobs", job.id));
  };
  const about = "Secrets are stored encrypted. After a key was put first in the key ring, re-encrypt them with it.";
  return section("Key ring", { about, actions: [button("Re-encrypt", reseal)] });
}
