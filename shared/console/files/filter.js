// Filters of a list, kept in the page's address.

import { el } from "./dom.js";
import { values } from "./form.js";
import { go } from "./route.js";

// filters shows fields whose values become the address's parameters.
export function filters(fields, extra) {
  const apply = (e) => {
    e?.preventDefault();
    const text = new URLSearchParams(values(fields)).toString();
    go(location.pathname + (text && "?" + text), { replace: true });
  };
  const form = el("form", { class: "filters", submit: apply, "aria-label": "Filters" }, fields.map((f) => f.node), el("button", {}, "Apply"), extra);
  for (const f of fields) if (f.control?.tagName === "SELECT") f.control.addEventListener("change", () => apply());
  return form;
}
