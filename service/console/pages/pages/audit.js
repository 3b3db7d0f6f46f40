// Audit: to be written.

import { h } from "../lib/dom.js";

export const title = "Audit";

export async function mount(root) {
  root.append(h("h1", null, title));
}
