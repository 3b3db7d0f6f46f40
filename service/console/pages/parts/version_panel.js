// One version: its gates, where it comes from, what it measured.

import { h } from "../lib/dom.js";
import { bytes, count, day } from "../lib/format.js";
import { table } from "../lib/table.js";
import { gauge } from "./words.js";

// The panel of a version; `acts` are its buttons, or none; onClose() is told that it was left.
export function versionPanel(version, acts, { onClose, link }) {
  const heading = h("h2", { tabindex: "-1" }, "Version ", h("span", { class: "id" }, version.version));
  const close = h("button", { type: "button", class: "close", "aria-label": "Close the version", on: { click: onClose } }, "✕");
  const panel = h(
    "section",
    { class: "panel detail", "aria-label": `Version ${version.version}` },
    h("header", null, heading, stateBadge(version.state), close),
    acts,
    part("Gates", gates(version), reasons(version)),
    part("Made of", facts(made(version, link))),
    part("Measured", facts(Object.entries(version.metrics ?? {}).map(([name, value]) => [name.replaceAll("_", " "), gauge(value)]))),
  );
  panel.addEventListener("keydown", (event) => event.key === "Escape" && onClose());
  panel.heading = heading;
  return panel;
}

// A version's state, or the gate's verdict, as a word with a colour on top.
export function stateBadge(state) {
  const tone = { champion: "good", PROMOTE: "good", HOLD: "warn", quarantined: "bad", REJECT: "bad" }[state] ?? "";
  return h("span", { class: `badge ${tone}` }, String(state).toLowerCase());
}

const part = (title, ...content) => h("section", { class: "part" }, h("h3", null, title), content);

const facts = (pairs) => h("dl", { class: "facts" }, pairs.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));

const measure = (value, { gate }) => (/size|bytes/.test(gate) ? bytes(value) : gauge(value));

function gates(version) {
  if (!version.gates) return h("p", null, stateBadge(version.verdict), h("span", { class: "muted" }, " Its gates were not written down."));
  const columns = [
    { key: "gate", label: "Gate", format: (gate) => gate.replaceAll("_", " ") },
    { key: "figure", label: "Figure", numeric: true, format: measure },
    { key: "bound", label: "Bound", numeric: true, format: measure },
    { key: "holds", label: "Holds", format: (holds, row) => (holds ? h("span", { class: "holds" }, "✓ holds") : h("span", { class: "fails" }, `✗ ${row.verdict.toLowerCase()}`)) },
  ];
  return table({ columns, rows: version.gates, caption: `Gates of version ${version.version}`, hideCaption: true });
}

function reasons(version) {
  const told = (version.reasons ?? []).map((reason) => h("li", null, reason));
  return h("div", { class: "verdict" }, stateBadge(version.verdict), told.length ? h("ul", { class: "reasons" }, told) : null);
}

function made(version, link) {
  return [
    ["Backbone", version.backbone],
    ["Target", version.target],
    ["Parent", version.parent ? link(version.parent) : "none: the first"],
    ["Base", version.base ? ["changes on ", link(version.base)] : "none: it is whole"],
    ["Size", bytes(version.bytes)],
    ["Events", count(version.events)],
    ["Created", day(version.created_ms)],
    ["Trained through", day(version.trained_through_ms)],
  ];
}
