// @ts-check

// Elements. Every text becomes a text node, so no text from outside is ever
// parsed as HTML, and every link leads to an address of the console.

// el makes an element. A function among the attributes listens to the event of
// that name; undefined, null and false leave an attribute out.
/**
 * @template {keyof HTMLElementTagNameMap} N
 * @param {N} name
 * @param {Record<string, any>} [attributes]
 * @param {...Child} children
 */
export function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") e.addEventListener(key, value);
    else e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...nodes(children));
  return e;
}

// fill replaces the content of e.
/**
 * @param {Element} e
 * @param {...Child} children
 */
export function fill(e, ...children) {
  e.replaceChildren(...nodes(children));
  return e;
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return /** @type {any[]} */ (children).flat(Infinity).filter((c) => c !== undefined && c !== null && c !== false && c !== "");
}

// link returns a link to a page of the console. It escapes the parts of the path.
/**
 * @param {string | string[]} parts
 * @param {...Child} children
 */
export function link(parts, ...children) {
  return el("a", { href: path(...[parts].flat()) }, children);
}

// path returns the address of a page.
/** @param {...string} parts */
export function path(...parts) {
  return ["/console", ...parts.map(encodeURIComponent)].join("/");
}

// userText shows text from outside the gateway, isolated from the direction of the
// text around it. Long names may break after a dot, an underscore or a slash.
export function userText(text) {
  const parts = String(text)
    .split(/(?<=[._/])/)
    .flatMap((part) => [part, el("wbr")]);
  return el("bdi", { class: "user-text" }, parts.slice(0, -1));
}

// code shows an id or another text for machines.
export function code(text) {
  return el("code", {}, text);
}

// svg draws shapes, each a pair of name and attributes, in a square of 16.
export function svg(className, ...shapes) {
  const space = "http://www.w3.org/2000/svg";
  const root = document.createElementNS(space, "svg");
  root.setAttribute("viewBox", "0 0 16 16");
  root.setAttribute("class", className);
  root.setAttribute("aria-hidden", "true");
  for (const [name, attributes] of shapes) {
    const shape = document.createElementNS(space, name);
    for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
    root.append(shape);
  }
  return root;
}

// button returns a button that calls act and is disabled until act ends.
export function button(text, act, attributes = {}) {
  const b = el("button", { type: "button", ...attributes, click: press }, text);
  async function press() {
    b.disabled = true;
    try {
      await act(b);
    } finally {
      b.disabled = false;
    }
  }
  return b;
}
