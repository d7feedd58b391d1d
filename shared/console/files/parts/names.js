// @ts-check

// Names of tenants and sources, of which lists have only the ids.

import { call } from "./call.js";
import { el, fill } from "./dom.js";

/** @type {Map<string, Promise<string>>} */
const names = new Map(); // by path

// nameOf shows the name of a tenant or a source. It shows the id until the name is
// loaded, or if there is no such tenant or source.
/**
 * @param {"tenants" | "sources"} kind
 * @param {string} id
 */
export function nameOf(kind, id) {
  const element = el("bdi", {}, id);
  const at = /** @type {const} */ (`/${kind}/${encodeURIComponent(id)}`);
  if (!names.has(at))
    names.set(
      at,
      call("GET", at).then((resource) => resource.name),
    );
  names.get(at)?.then(
    (text) => fill(element, text),
    () => names.delete(at),
  );
  return element;
}

// rememberName stores the name of a tenant or a source that is loaded already.
export function rememberName(kind, resource) {
  names.set(`/${kind}/${encodeURIComponent(resource.id)}`, Promise.resolve(resource.name));
}
