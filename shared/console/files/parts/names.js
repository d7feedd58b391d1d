// @ts-check

// Names of tenants and sources, which lists hold by id.

import { call } from "./call.js";
import { el, fill } from "./dom.js";

/** @type {Map<string, Promise<string>>} */
const names = new Map(); // path of a thing → promise of its name

// nameOf shows the name of a tenant or a source, and its id until that is known
// or if it is gone.
/**
 * @param {"tenants" | "sources"} kind
 * @param {string} id
 */
export function nameOf(kind, id) {
  const place = el("bdi", {}, id);
  const at = /** @type {const} */ (`/${kind}/${encodeURIComponent(id)}`);
  if (!names.has(at))
    names.set(
      at,
      call("GET", at).then((thing) => thing.name),
    );
  names.get(at)?.then(
    (text) => fill(place, text),
    () => names.delete(at),
  );
  return place;
}

// rememberName remembers the name of a thing that was loaded.
export function rememberName(kind, thing) {
  names.set(`/${kind}/${encodeURIComponent(thing.id)}`, Promise.resolve(thing.name));
}
