// The keys of the one who signed in, and the key ring.

import { call, token } from "../parts/call.js";
import { ask } from "../parts/dialog.js";
import { button, path } from "../parts/dom.js";
import { keyList } from "../parts/keylist.js";
import { go } from "../parts/route.js";
import { heading, section } from "../parts/show.js";

export function keysPage({ me, signal }) {
  const about =
    me.scope === "operator"
      ? "Keys of the operator. Those of a tenant stand on its page."
      : "Keys of your account. A key's text is told once, when it is made.";
  const { rows, add } = keyList({ operator: me.scope === "operator", own: me.key, signal });
  return [heading("Keys", { about, actions: [add] }), rows, me.scope === "operator" && keyRing()];
}

// keyRing seals all that is kept under the key that stands first in the ring.
function keyRing() {
  const detail = "A job seals them under the first key of the ring. When it is done with none skipped, the other keys can go.";
  const reseal = async () => {
    if (!(await ask("Seal all secrets anew?", detail, "Seal anew", { danger: false }))) return;
    const job = await call("POST", "/reseal", { headers: { "Idempotency-Key": token() } });
    go(path("jobs", job.id));
  };
  const about = "Secrets are kept sealed. After a key was put first in the key ring, seal them under it.";
  return section("Key ring", { about, actions: [button("Seal anew", reseal)] });
}
