// @ts-check

// Calls of the API, made with the session's key by the server.

// A Problem is a response other than success (RFC 9457), or a call without a
// response.
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} detail
   * @param {API["ErrorDetail"][]} errors
   */
  constructor(status, detail, errors = []) {
    super(detail);
    this.status = status; // 0: no response
    this.errors = errors; // {message, location}
  }
}

// call returns the JSON of the response, or null if it has no body. It throws a Problem. If
// the session has ended, "signedout" is dispatched on the document too.
/**
 * @template {Verb} M
 * @template {Known<M>} A
 * @param {M} method
 * @param {A} path
 * @param {CallOptions<Operation<M, A>>} [options]
 * @returns {Promise<ResultOf<Operation<M, A>>>}
 */
export async function call(method, path, { query, body, headers, signal } = {}) {
  const response = await send(method, apiAddress(path, query), { body, headers, signal });
  const json = await response.text();
  return json ? JSON.parse(json) : /** @type {any} */ (null);
}

// text returns a response's bytes as text, and whether they are valid UTF-8.
/**
 * @param {string} path
 * @param {{ signal?: AbortSignal }} [options]
 */
export async function text(path, { signal } = {}) {
  const bytes = await (await send("GET", apiAddress(path), { signal })).arrayBuffer();
  return { text: new TextDecoder().decode(bytes), exact: isText(bytes) };
}

function isText(bytes) {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}

// apiAddress returns the URL of a call of the API. It leaves out empty parameters.
/**
 * @param {string} path
 * @param {object} [query]
 */
export function apiAddress(path, query = {}) {
  const filled = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(filled).toString();
  return "/console/api/v1" + path + (text && "?" + text);
}

/**
 * @param {string} method
 * @param {string} url
 * @param {{ body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} options
 */
async function send(method, url, { body, headers, signal }) {
  /** @type {Record<string, string>} */
  const sent = body === undefined ? {} : { "Content-Type": "application/json" };
  let response;
  try {
    response = await fetch(url, {
      method,
      signal,
      headers: { Accept: "application/json", ...sent, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new Problem(0, "The gateway does not answer.");
  }
  if (response.ok) return response;
  throw await problem(response);
}

async function problem(response) {
  if (response.status === 401) document.dispatchEvent(new Event("signedout"));
  const p = await response.json().catch(() => ({}));
  return new Problem(response.status, p.detail || p.title || `The gateway answers ${response.status}.`, p.errors ?? []);
}

const session = "/console/session";

// fetchMe returns the account of the session, or null if there is no session.
/** @returns {Promise<API["Me"] | null>} */
export async function fetchMe() {
  return (await send("GET", session, {})).json();
}

// signIn starts a session with an API key and returns its account.
/**
 * @param {string} key
 * @returns {Promise<API["Me"]>}
 */
export async function signIn(key) {
  return (await send("POST", session, { body: { key } })).json();
}

// signOut ends the session.
export async function signOut() {
  await send("DELETE", session, {});
}

// allRows returns the rows of a list, of at most pages pages.
/**
 * @template {Known<"GET">} A
 * @param {A} path
 * @param {{ query?: QueryOf<Operation<"GET", A>>, signal?: AbortSignal, pages?: number }} [options]
 * @returns {Promise<RowOf<A>[]>}
 */
export async function allRows(path, { query, signal, pages = 5 } = {}) {
  const rows = /** @type {any[]} */ ([]);
  let cursor = "";
  do {
    const page = await /** @type {any} */ (call)("GET", path, { query: { limit: 100, ...query, cursor }, signal });
    rows.push(...page.data);
    cursor = page.next_cursor;
  } while (cursor && --pages > 0);
  return rows;
}

// idempotencyKey returns a new random value for the header Idempotency-Key.
export function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}
