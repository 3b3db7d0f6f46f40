// Changing what is served: promote, pin, roll back, unpin. Each says what will be served, asks why, and is audited.

import { h } from "../lib/dom.js";
import { decide } from "./decide.js";

const LATER = "The trainer may promote a later version in its place.";
const STAYS = "It stays, whatever the trainer publishes, until it is unpinned.";

// The buttons of a version, for one who may change things; onDone() is called once a change was made.
export function actsOfVersion(version, models, context, onDone) {
  if (!context.session.may_change || version.state === "quarantined") return null;
  const now = models.champion?.version ?? null;
  const same = version.version === now;
  const held = models.champion?.pinned; // a promotion would be refused
  const act = (name) => change(name, `/admin/models/${version.version}:${name}`, context, onDone);
  const instead = same ? `${version.version} is served already.` : `${version.version} will be served instead of ${now ?? "the prior"}.`;
  return h(
    "div",
    { class: "row" },
    held && !same && h("span", { class: "muted" }, `${now} is pinned: unpin it to promote another.`),
    !same && !held && button("Promote…", "primary", () => act("promote")(`Promote ${version.version}?`, [instead, LATER], `Serve ${version.version}`)),
    !(same && held) && button("Pin…", "", () => act("pin")(`Pin ${version.version}?`, [instead, STAYS], `Serve ${version.version} and keep it`)),
  );
}

// The buttons of the champion.
export function actsOfChampion({ champion, versions }, context, onDone) {
  if (!context.session.may_change || !champion) return null;
  const { version: now, previous } = champion;
  const back = versions.some((each) => each.version === previous && each.state !== "quarantined") ? previous : null;
  const leads = back
    ? `${back} will be served instead of ${now}.`
    : `The latest earlier champion that is still whole will be served instead of ${now}.`;
  const rollback = change("rollback", "/admin/models:rollback", context, onDone);
  const unpin = change("unpin", "/admin/models:unpin", context, onDone);
  const stays = [`${now} stays served for now.`, "The trainer's next promotion replaces it."];
  return h(
    "div",
    { class: "row" },
    previous && button("Roll back…", "danger", () => rollback(`Roll back from ${now}?`, [leads, STAYS], back ? `Roll back to ${back}` : "Roll back")),
    champion.pinned && button("Unpin…", "", () => unpin(`Unpin ${now}?`, stays, `Unpin ${now}`)),
  );
}

const button = (words, style, press) => h("button", { type: "button", class: style, on: { click: press } }, words);

// What asks, and does, one change.
function change(name, path, { api, announce }, onDone) {
  return async (title, consequence, confirm) => {
    const act = (why) => api.post(path, { why });
    const changed = await decide({ title, consequence, confirm, act });
    if (!changed) return;
    announce(`Done, ${name}: ${changed.champion} is the champion${changed.pinned ? ", pinned" : ""}.`);
    onDone(changed);
  };
}
