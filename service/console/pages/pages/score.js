// Score: what the model says of a user's candidates, why, and what another version says.

import { bar, lean } from "../lib/bar.js";
import { empty, failure, field, h, id, replace } from "../lib/dom.js";
import * as format from "../lib/format.js";
import { beside, pasted, telling } from "../lib/ranks.js";
import { writeHash } from "../lib/route.js";
import { table } from "../lib/table.js";
import { why } from "../lib/why.js";

export const title = "Score";

export async function mount(root, { api, params, announce }) {
  const inputs = fields(params);
  const out = h("div", { class: "page" });
  const form = h(
    "form",
    { class: "form score-form", on: { submit: ask } },
    inputs.all,
    h("button", { type: "submit", class: "primary" }, "Score"),
  );
  root.append(h("h1", null, title), h("section", { class: "panel" }, form), out);
  replace(
    out,
    empty(
      "Pick a user",
      "The most active of late are offered as you type. Without candidates, the most exposed items of late are scored.",
    ),
  );
  let asked = 0;

  const offer = async (like) => {
    const found = await api.get("ids", { kind: "user", like, limit: 50 });
    replace(
      inputs.users,
      found.ids.map((each) => h("option", { value: each.id }, `${format.count(each.events)} events`)),
    );
  };
  const versions = async () => {
    const found = await api.get("models");
    const told = found.versions
      .filter((each) => each.version !== found.serving && each.state !== "quarantined")
      .slice(0, 50);
    const options = told.map((each) => h("option", { value: each.version }, `${each.version}, ${each.state}`));
    const chosen = inputs.other.value;
    const listed = !chosen || told.some((each) => each.version === chosen); // the address may name one that is not
    const none = h("option", { value: "" }, "none");
    replace(inputs.other, none, listed ? null : h("option", { value: chosen }, chosen), options);
    inputs.other.value = chosen;
  };
  let typing = null;
  inputs.user.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => offer(inputs.user.value.trim()).catch(() => {}), 250);
  });

  async function ask(event) {
    event?.preventDefault();
    const wanted = {
      user: inputs.user.value.trim(),
      items: pasted(inputs.items.value),
      surface: inputs.surface.value.trim(),
      with: inputs.other.value,
    };
    if (!wanted.user) return inputs.user.focus();
    history.replaceState(null, "", writeHash("score", { ...wanted, items: wanted.items.join(",") }));
    asked += 1;
    const nr = asked;
    out.setAttribute("aria-busy", "true");
    if (!out.querySelector("table")) replace(out, h("p", { class: "busy" }, "Scoring …"));
    try {
      const body = {
        user_id: wanted.user,
        candidates: wanted.items.length ? wanted.items : null,
        surface: wanted.surface || null,
        version: null,
      };
      const one = await api.post("score", body);
      const same = one.items.map((item) => item.item_id); // the other version ranks the very same items
      const beside = { ...body, candidates: same, version: wanted.with };
      const told = wanted.with && same.length ? await api.post("score", beside).catch((problem) => problem) : null;
      const other = told instanceof Error ? null : told;
      if (nr !== asked) return;
      show(out, wanted.user, one, other);
      if (told !== other) out.prepend(failure({ ...told, title: `Version ${wanted.with} is not beside it` }));
      announce(`${one.items.length} items scored for ${wanted.user}`);
    } catch (problem) {
      if (nr === asked)
        replace(
          out,
          failure(problem, () => ask()),
        );
    } finally {
      if (nr === asked) out.removeAttribute("aria-busy");
    }
  }

  for (const each of [offer(""), versions()]) each.catch(() => {}); // offers only: the form works without them
  if (params.get("user")) ask();
}

function fields(params) {
  const users = h("datalist", { id: id("users") });
  const user = h("input", {
    list: users.id,
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 128,
    placeholder: "u105",
    value: params.get("user") ?? "",
  });
  const items = h("textarea", {
    rows: 1,
    spellcheck: "false",
    placeholder: "the most exposed of late",
    value: (params.get("items") ?? "").replaceAll(",", " "),
  });
  const surface = h("input", {
    autocomplete: "off",
    maxlength: 64,
    placeholder: "any",
    size: 10,
    value: params.get("surface") ?? "",
  });
  const chosen = params.get("with") ?? "";
  const other = h(
    "select",
    { value: chosen },
    h("option", { value: "" }, "none"),
    chosen ? h("option", { value: chosen }, chosen) : null,
  );
  const wide = field("Candidates", items);
  wide.classList.add("wide");
  return {
    users,
    user,
    items,
    surface,
    other,
    all: [field("User", user), users, wide, field("Surface", surface), field("Version beside it", other)],
  };
}

function show(out, user, one, other) {
  if (!one.items.length) return replace(out, empty("No candidates", "No items were exposed of late. Paste some ids."));
  const rows = beside(one.items, other?.items);
  const reasons = h("section", { class: "panel why", "aria-live": "polite" });
  const open = (row) => replace(reasons, why(row, one, other));
  const shown = table({
    caption: caption(user, one, other),
    columns: columns(rows, one, other),
    rows,
    onRow: open,
    order: { key: "rank", down: false },
  });
  replace(out, h("div", { class: "score-result" }, h("section", { class: "panel" }, shown), reasons));
  open(rows[0]);
}

function caption(user, { model, known_user: known }, other) {
  const from = model.fallback ? "The built-in prior" : `Version ${model.version}`;
  const learned = model.fallback ? "" : `, which has learned up to ${format.day(Date.parse(model.trained_through))}`;
  const against = other ? ` Beside it version ${other.version ?? other.model.version}.` : "";
  return `${from}${learned}, on user ${user}${known ? "" : ", who is new to it"}. Press an item to see why; new: the version has no row of it.${against}`;
}

function columns(rows, one, other) {
  const most = Math.max(...rows.flatMap((row) => [row.score, row.other?.score ?? 0]));
  const reach = Math.max(...rows.flatMap((row) => telling(row.reasons).map((part) => Math.abs(part.value))), 1e-9);
  const scored = (value) =>
    h(
      "span",
      { class: "trial" },
      bar(value, most, { width: 56 }),
      h("span", { class: "figure" }, format.probability(value)),
    );
  const shown = [
    {
      key: "item_id",
      label: "Item",
      sort: true,
      format: (item, row) => [item, row.known ? null : h("span", { class: "badge warn" }, "new")],
    },
    { key: "rank", label: "Rank", numeric: true, sort: true },
    {
      key: "score",
      label: "Score",
      numeric: true,
      sort: true,
      format: scored,
      help: "Calibrated probability of a positive word",
    },
    {
      key: "label",
      label: "Label",
      sort: true,
      format: (label) => h("span", { class: label ? "badge good" : "badge" }, label ? "positive" : "negative"),
    },
    { key: "confidence", label: "Confidence", numeric: true, sort: true, format: (value) => format.percent(value) },
  ];
  if (!other)
    return [...shown, { key: "reasons", label: "Tells most", format: (reasons) => strongest(reasons, reach) }];
  const name = other.version ?? other.model.version;
  return [
    ...shown,
    {
      key: "otherScore",
      label: `Score ${name}`,
      numeric: true,
      sort: (row) => row.other?.score,
      format: (_, row) => (row.other ? scored(row.other.score) : format.NOTHING),
    },
    { key: "otherRank", label: `Rank ${name}`, numeric: true, sort: true },
    { key: "moved", label: "Change", numeric: true, sort: (row) => Math.abs(row.moved ?? 0), format: change },
  ];
}

function strongest(reasons, reach) {
  const [first] = telling(reasons);
  return first
    ? [lean(first.value, reach, { width: 48 }), ` ${first.part} `, format.signed(first.value)]
    : format.NOTHING;
}

// In words for those who hear it: the other version ranks the item so many places higher or lower.
function change(moved) {
  if (moved === null) return format.NOTHING;
  if (moved === 0) return h("span", { class: "muted" }, "same");
  const [sign, word, look] = moved > 0 ? ["▲", "up", "good"] : ["▼", "down", "bad"];
  return h(
    "span",
    { class: `badge ${look}` },
    h("span", { "aria-hidden": "true" }, sign),
    h("span", { class: "unseen" }, word),
    ` ${Math.abs(moved)}`,
  );
}
