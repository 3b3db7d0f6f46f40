// Models: what is served and since when, every version with its gates, two compared, and the way to change it.

import { empty, failure, h, replace } from "../lib/dom.js";
import { ago, bytes, count, day, ratio } from "../lib/format.js";
import { writeHash } from "../lib/route.js";
import { table } from "../lib/table.js";
import { compare } from "../parts/compare.js";
import { whereToChange } from "../parts/decide.js";
import { actsOfChampion, actsOfVersion } from "../parts/model_acts.js";
import { stateBadge, versionPanel } from "../parts/version_panel.js";
import { at } from "../parts/words.js";

export const title = "Models";

const LEAD = "What is served, what could be, and who changed it.";
const measured = (name) => (row) => row.metrics?.[name];
const VERSIONS = [
  { key: "version", label: "Version", sort: true },
  { key: "state", label: "State", sort: true, format: stateBadge },
  { key: "verdict", label: "Verdict", sort: true, format: stateBadge },
  { key: "created_ms", label: "Created", numeric: true, sort: true, format: (ms) => at(ms) },
  { key: "trained_through_ms", label: "Trained through", numeric: true, sort: true, format: (ms) => at(ms) },
  { key: "events", label: "Events", numeric: true, sort: true, format: count },
  { key: "bytes", label: "Size", numeric: true, sort: true, format: bytes },
  { key: "auc", label: "AUC", numeric: true, sort: measured("auc"), format: (_, row) => ratio(row.metrics?.auc, 4) },
  { key: "gauc", label: "GAUC", numeric: true, sort: measured("gauc"), format: (_, row) => ratio(row.metrics?.gauc, 4) },
  { key: "ece", label: "ECE", numeric: true, sort: measured("window_ece"), format: (_, row) => ratio(row.metrics?.window_ece, 5), help: "calibration error of the window" },
];
const CHANGES = [
  { key: "changed_ms", label: "When", format: (ms) => day(ms) },
  { key: "act", label: "What", format: (act) => act || "change" },
  { key: "version", label: "Version", format: (version) => h("span", { class: "id" }, version) },
  { key: "replaced", label: "Instead of", format: (version) => (version ? h("span", { class: "id" }, version) : "–") },
  { key: "pinned", label: "Pinned", format: (pinned) => (pinned ? "yes" : "no") },
  { key: "who", label: "By", format: (who) => who || "unknown" },
  { key: "why", label: "Why", format: (why) => h("div", { class: "wrap" }, why) },
];

export async function mount(root, context) {
  const { api, live, params } = context;
  const head = h("header", { class: "head" }, h("h1", null, title), h("p", { class: "lead" }, LEAD));
  const parts = { champion: h("div"), list: h("div", { class: "list" }), beside: h("div", { class: "beside" }) };
  const body = h("div", { class: "list-and-panel" }, parts.list, parts.beside);
  const compared = h("div");
  const changes = h("div");
  const page = { version: params.get("version") ?? "", a: params.get("a") ?? "", b: params.get("b") ?? "", models: null, opener: "", known: "" };
  replace(root, head, parts.champion, body, compared, changes);

  async function load() {
    try {
      page.models = await api.get("models");
      draw();
    } catch (problem) {
      replace(parts.champion, failure(problem, load));
    }
  }

  function draw() {
    const { versions } = page.models;
    replace(parts.champion, champion());
    if (!versions.length) return replace(parts.list, empty("No version yet.", "The trainer publishes the first once it has learned enough; `winnow demo` shows it."));
    keepFocus(parts.list, () => replace(parts.list, listOf(versions)));
    if (!parts.beside.firstChild || page.opener === "") showVersion(false);
    const known = versions.map((each) => each.version).join();
    if (known !== page.known && !compared.contains(document.activeElement)) {
      page.known = known;
      replace(compared, compare(versions, page, api, remember));
    }
    return replace(changes, historyOf(page.models.history));
  }

  function listOf(versions) {
    const shown = table({ columns: VERSIONS, rows: versions, caption: "Versions", hideCaption: true, onRow: (row) => open(row.version) });
    return h("section", { class: "panel" }, h("h2", null, `Versions (${count(versions.length)})`), shown);
  }

  function champion() {
    const { champion: now, serving } = page.models;
    const served = serving?.version ?? serving;
    if (!now) return h("section", { class: "panel champion" }, h("h2", null, "Served"), h("p", null, "The prior answers: no version was promoted yet."), whereToChange(context.session));
    return h(
      "section",
      { class: "panel champion" },
      h("div", { class: "row spread" }, h("h2", null, "Champion ", h("span", { class: "id large" }, now.version), " ", now.pinned && h("span", { class: "badge accent" }, "pinned")), actsOfChampion(page.models, context, changed)),
      h("p", null, `Since ${day(now.changed_ms)}, ${ago(now.changed_ms)}, by ${now.who || "unknown"}: ${now.why}.`),
      served !== now.version && h("p", { class: "behind" }, `This process still answers with ${served ?? "the prior"}${refusal(now.version)}.`),
      whereToChange(context.session),
    );
  }

  function refusal(version) {
    const why = page.models.refused?.[version];
    return why ? `: it refused ${version} (${why})` : "; it takes the champion over once it has proved it";
  }

  function remember(changes) {
    Object.assign(page, changes);
    history.replaceState(null, "", writeHash("models", { version: page.version, a: page.a, b: page.b }));
  }

  function open(version) {
    remember({ version });
    page.opener = version;
    showVersion(true);
  }

  function showVersion(focus) {
    const found = page.models.versions.find((each) => each.version === page.version);
    body.classList.toggle("open", Boolean(page.version));
    if (!page.version) return replace(parts.beside);
    if (!found) return replace(parts.beside, empty(`There is no version ${page.version}.`, "Old ones are removed once enough newer ones are there."));
    const link = (version) => h("button", { type: "button", class: "link id", on: { click: () => open(version) } }, version);
    const acts = actsOfVersion(found, page.models, context, changed);
    const panel = versionPanel(found, acts, { onClose: close, link });
    replace(parts.beside, panel);
    if (focus) panel.heading.focus();
    return panel;
  }

  function close() {
    const opener = page.version;
    remember({ version: "" });
    showVersion(false);
    [...parts.list.querySelectorAll("button.link")].find((each) => each.textContent === opener)?.focus();
  }

  async function changed() {
    await load();
    showVersion(Boolean(page.version));
  }

  const stop = live.subscribe("version", load);
  await load();
  return stop;
}

function historyOf(changes) {
  if (!changes.length) return null;
  return h("section", { class: "panel" }, h("h2", null, "Changes"), table({ columns: CHANGES, rows: changes, caption: "Changes of the champion, newest first", hideCaption: true }));
}

// Draws anew and gives the focus back to the button of the same words, if it was on one.
function keepFocus(box, draw) {
  const held = box.contains(document.activeElement) ? document.activeElement.textContent : null;
  draw();
  if (held) [...box.querySelectorAll("button")].find((each) => each.textContent === held)?.focus();
}
