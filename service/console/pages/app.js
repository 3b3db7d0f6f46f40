// Wires the console together: the key, the session, the stream, and which page the hash names.

import { createApi } from "./lib/api.js";
import { toggleTheme } from "./lib/colours.js";
import { failure, h, replace, say } from "./lib/dom.js";
import { askKey } from "./lib/key_dialog.js";
import { createLive } from "./lib/live.js";
import { readHash } from "./lib/route.js";
import * as audit from "./pages/audit.js";
import * as directions from "./pages/directions.js";
import * as labels from "./pages/labels.js";
import * as loop from "./pages/loop.js";
import * as models from "./pages/models.js";
import * as score from "./pages/score.js";

const PAGES = { loop, directions, labels, audit, models, score };
const part = (name) => document.getElementById(name);

const api = createApi(askKey);
const live = createLive(api);
let session = {
  may_change: false,
  keys: false,
  admin_url: null,
  release: "",
  labels: { available: false, why: null },
  hashed: "none",
};
let shown = { cleanup: null, nr: 0 };

// Shows the page the hash names in the place of the one before.
async function show() {
  const { page, params } = readHash(location.hash, PAGES);
  const nr = shown.nr + 1;
  shown.cleanup?.();
  shown = { cleanup: null, nr };
  for (const link of part("nav").querySelectorAll("a")) {
    if (link.dataset.page === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${PAGES[page].title} · Winnow`;
  const root = h("div", { class: `page page-${page}` });
  replace(part("main"), root);
  try {
    const cleanup = await PAGES[page].mount(root, { api, live, session, params, go, announce });
    if (nr === shown.nr) shown.cleanup = cleanup ?? null;
    else cleanup?.();
  } catch (problem) {
    if (nr === shown.nr) replace(root, h("h1", null, PAGES[page].title), failure(problem, show));
  }
}

// Goes to another page: go("#/labels?user=u1").
function go(hash) {
  if (location.hash === hash) show();
  else location.hash = hash;
}

function announce(text) {
  say(part("announce"), text);
}

function nav() {
  const links = Object.entries(PAGES).map(([page, { title }]) =>
    h("a", { href: `#/${page}`, dataset: { page } }, title),
  );
  replace(
    part("nav"),
    links.map((link) => h("li", null, link)),
  );
}

function tellSession() {
  say(part("release"), session.release ? `Winnow ${session.release}` : "");
  const elsewhere = session.admin_url && h("a", { href: `${session.admin_url}/console` }, session.admin_url);
  const readOnly = ["Read only here", elsewhere ? ["; changes are made at ", elsewhere] : ""];
  replace(part("mode"), session.may_change ? "Changes made here are audited" : readOnly);
}

function tellStatus(status) {
  part("live").dataset.status = status;
  say(part("live"), status);
  part("live").title = live.why;
}

async function start() {
  nav();
  part("theme").addEventListener("click", toggleTheme);
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault(); // its hash is not a page's
    part("main").focus();
  });
  live.subscribe("status", tellStatus);
  try {
    session = await api.get("session");
  } catch (problem) {
    part("notice").hidden = false;
    say(part("notice"), [problem.title, problem.detail].filter(Boolean).join(": "));
  }
  tellSession();
  live.start();
  addEventListener("hashchange", () => show().then(() => part("main").focus({ preventScroll: false })));
  await show();
}

start();
