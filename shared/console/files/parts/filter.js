// @ts-check

// Filters of a list, stored in the page's address.

import { el } from "./dom.js";
import { values } from "./form.js";
import { navigate } from "./route.js";
import { disclosure } from "./show.js";

// filters returns a form whose values become the address's parameters. The rare
// fields are hidden while none of them has a value.
export function filters(common, rare = []) {
  const fields = [...common, ...rare];
  const apply = (e) => {
    e?.preventDefault();
    const text = new URLSearchParams(values(fields)).toString();
    navigate(location.pathname + (text && "?" + text), { replace: true });
  };
  const rest =
    rare.length > 0 &&
    disclosure(
      "More filters",
      rare.map((f) => f.node),
    );
  if (rest && rare.some((f) => f.read() !== undefined)) rest.open = true;
  const form = el(
    "form",
    { class: "filters", submit: apply, "aria-label": "Filters" },
    common.map((f) => f.node),
    el("button", {}, "Apply"),
    rest,
  );
  for (const f of fields) if (f.control?.tagName === "SELECT") f.control.addEventListener("change", () => apply());
  return form;
}
