// @ts-check

// A payload as it came: as text, never as HTML, and only its beginning if it is
// long.

import { apiAddress, text } from "./call.js";
import { el } from "./dom.js";
import { errorAlert, notice, pre } from "./show.js";
import { bytes } from "./format.js";

const maxShown = 64 << 10; // characters of a payload on the page

// payload shows an event's payload and a link to download its bytes.
/**
 * @param {API["Event"]} event
 * @param {AbortSignal} signal
 */
export async function payload(event, signal) {
  if (event.erased) return notice("Its payload was erased by request.");
  if (event.hidden) return notice("No grant covers it any more, so its payload is not shown.");
  const at = /** @type {const} */ (`/events/${encodeURIComponent(event.id)}/raw`);
  try {
    const raw = await text(at, { signal });
    return el(
      "div",
      { class: "stack" },
      content(event, raw),
      el(
        "p",
        { class: "actions" },
        el("a", { class: "button", href: apiAddress(at), download: `${event.id}.bin` }, "Download the exact bytes"),
        el("span", { class: "soft" }, bytes(event.size)),
      ),
    );
  } catch (e) {
    if (signal.aborted) throw e;
    return errorAlert(e);
  }
}

/**
 * @param {API["Event"]} event
 * @param {{ text: string, exact: boolean }} raw
 */
function content(event, raw) {
  if (!raw.exact) return notice("It is not text. Download it to look at its bytes.");
  const body = readable(event, raw.text);
  const cut = body.length > maxShown && notice("Only its beginning is shown.");
  return [pre(body.slice(0, maxShown), "Payload"), cut];
}

// readable returns JSON indented, and a form as an object of its fields.
/**
 * @param {API["Event"]} event
 * @param {string} raw
 */
function readable(event, raw) {
  if (isJSON(raw)) return indented(raw);
  if (event.data && Object.values(event.data).every((v) => typeof v !== "number")) return JSON.stringify(event.data, null, 2);
  return raw;
}

function isJSON(raw) {
  try {
    JSON.parse(raw);
    return true;
  } catch {
    return false;
  }
}

// indented indents JSON. It changes only white space: JSON.parse would turn 4.20
// into 4.2 and round large integers.
function indented(json) {
  let depth = 0;
  const line = () => "\n" + "  ".repeat(depth);
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  return tokens
    .map((token, i) => {
      const empty = (tokens[i] === "{" && tokens[i + 1] === "}") || (tokens[i] === "[" && tokens[i + 1] === "]");
      switch (token) {
        case "{":
        case "[":
          depth++;
          return empty ? token : token + line();
        case "}":
        case "]": {
          depth--;
          const opened = tokens[i - 1] === "{" || tokens[i - 1] === "[";
          return opened ? token : line() + token;
        }
        case ",":
          return token + line();
        case ":":
          return ": ";
        default:
          return token;
      }
    })
    .join("");
}
