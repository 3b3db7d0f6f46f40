// The hash of the address, read and written: "#/labels?user=u1".

// Which page and which parameters; an unknown page is the first.
export function readHash(hash, pages) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const page = Object.hasOwn(pages, path) ? path : Object.keys(pages)[0];
  return { page, params: new URLSearchParams(query) };
}

// The hash of a page and its parameters; empty ones are left out.
export function writeHash(page, params = {}) {
  const told = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(told).toString();
  return `#/${page}${query ? `?${query}` : ""}`;
}
