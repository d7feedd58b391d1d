// @ts-check

// Addresses of pages.

// navigate shows the page at an address of the console.
export function navigate(address, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  document.dispatchEvent(new Event("moved"));
}

// findPage returns the page at an address and the parameters of its pattern, or
// null. routes are [pattern, page], such as ["jobs/:id", jobPage].
export function findPage(routes, address) {
  const parts = address
    .replace(/^\/console\/?/, "")
    .split("/")
    .filter(Boolean)
    .map(decodeURIComponent);
  for (const [pattern, page] of routes) {
    const params = matchPath(pattern.split("/").filter(Boolean), parts);
    if (params) return { page, params };
  }
  return null;
}

function matchPath(pattern, parts) {
  if (pattern.length !== parts.length) return null;
  const params = {};
  for (const [i, part] of pattern.entries()) {
    if (part.startsWith(":")) params[part.slice(1)] = parts[i];
    else if (part !== parts[i]) return null;
  }
  return params;
}
