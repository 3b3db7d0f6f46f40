// Labels: find a view, see why its label is what it is, and override it. Deep links: #/labels?event=ID.

import { empty, failure, h, replace } from "../lib/dom.js";
import { percent, probability } from "../lib/format.js";
import { table } from "../lib/table.js";
import { labelPanel } from "../parts/label_panel.js";
import { addressOf, askedOf, labelSearch } from "../parts/label_search.js";
import { targetHistogram } from "../parts/target_histogram.js";
import { at, many, said, searchedWords, watched } from "../parts/words.js";

export const title = "Labels";

const LEAD = "What each view was, what it was made to say, and why.";
const [FIRST_ROWS, MOST_ROWS, MOST_HOURS] = [50, 200, 168];
const SILENT = 1e-6; // a mean target below which nothing but silence was learned of the unlabelled
const COLUMNS = [
  { key: "acknowledged_ms", label: "Received", sort: true, format: (ms, row) => [at(ms), h("span", { class: "unseen" }, ` ${row.event_id}`)] },
  { key: "user_id", label: "User", sort: true, format: id },
  { key: "item_id", label: "Item", sort: true, format: id },
  { key: "watch_ms", label: "Watched", sort: true, format: (ms, row) => watched(ms, row.duration_ms) },
  { key: "flag", label: "Watch", sort: true, format: (flag) => flag && h("span", { class: `badge flag-${flag}` }, flag) },
  { key: "actions", label: "Said", sort: (row) => said(row.actions), format: said },
  { key: "score", label: "Before", numeric: true, sort: true, format: probability, help: "the model's score before the watch" },
  { key: "relevance", label: "After", numeric: true, sort: true, format: probability, help: "after the evidence of the watch" },
  { key: "target", label: "Target", numeric: true, sort: true, format: probability, help: "what it was trained toward" },
  { key: "label", label: "Label", sort: true, format: (label) => h("span", { class: `badge label-${label}` }, label) },
  { key: "doubt", label: "Doubt", numeric: true, sort: true, format: doubt, help: "0 is sure, 1 could be either" },
];

export async function mount(root, context) {
  const { api, session, announce } = context;
  const head = h("header", { class: "head" }, h("h1", null, title), h("p", { class: "lead" }, LEAD));
  if (!session.labels.available) {
    replace(root, head, empty("The label log cannot be read here.", session.labels.why ?? ""));
    return undefined;
  }
  const page = { asked: askedOf(context.params), limit: FIRST_ROWS, turn: 0, prior: null };
  const search = h("div", { class: "panel" });
  const histogram = h("div");
  const list = h("div", { class: "list" });
  const beside = h("div", { class: "beside" });
  const body = h("div", { class: "list-and-panel" }, list, beside);
  replace(root, head, search, histogram, body);

  function ask(changes) {
    page.asked = { ...page.asked, ...changes };
    page.limit = FIRST_ROWS;
    history.replaceState(null, "", addressOf(page.asked));
    void showList();
    if ("hours" in changes) void showHistogram();
    if ("event" in changes) void showEvent();
  }

  async function showList() {
    const turn = (page.turn += 1);
    list.setAttribute("aria-busy", "true");
    const { event, ...query } = page.asked;
    try {
      const found = await api.get("labels", { ...query, limit: page.limit });
      if (turn === page.turn) replace(list, listOf(found));
    } catch (problem) {
      if (turn === page.turn) replace(list, failure(problem, showList));
    } finally {
      list.removeAttribute("aria-busy");
    }
  }

  function listOf(found) {
    const told = `${many(found.rows.length, "view")}${found.more ? ", and there are more" : ""}. ${searchedWords(found.searched)}`;
    announce(told);
    if (!found.rows.length) return empty("No view is like that.", "Ask for more hours, or clear the filters. ", searchedWords(found.searched));
    return h(
      "section",
      { class: "panel" },
      table({ columns: COLUMNS, rows: found.rows, caption: "Labels", hideCaption: true, onRow: open }),
      h("div", { class: "row below" }, h("p", { class: "muted" }, told), moreButton(found), exports()),
    );
  }

  function moreButton(found) {
    if (!found.more || page.limit >= MOST_ROWS) return null;
    const more = () => {
      page.limit = MOST_ROWS;
      void showList();
    };
    return h("button", { type: "button", on: { click: more } }, `Show up to ${MOST_ROWS}`);
  }

  function exports() {
    const { event, ...query } = page.asked;
    const save = (format) => api.download("labels/export", { ...query, format }).catch((problem) => announce(problem.message));
    const button = (format, words) => h("button", { type: "button", on: { click: () => save(format) } }, words);
    return [button("csv", "Save as CSV"), button("parquet", "Save as Parquet")];
  }

  function open(row) {
    page.asked.event = row.event_id;
    history.replaceState(null, "", addressOf(page.asked));
    show(row, true);
  }

  function show(row, focus) {
    const panel = labelPanel(row, page.prior, context, {
      onClose: close,
      onOverride: (entry) => show({ ...row, override: entry }, true),
    });
    replace(beside, panel);
    body.classList.add("open");
    if (focus) panel.heading.focus();
  }

  // The focus goes back to the event in the list, which may have been drawn anew meanwhile, or to the list.
  function close() {
    const left = page.asked.event;
    page.asked.event = "";
    history.replaceState(null, "", addressOf(page.asked));
    leave();
    const buttons = [...list.querySelectorAll("button.link")];
    (buttons.find((button) => button.textContent.endsWith(` ${left}`)) ?? list.querySelector(".table-box"))?.focus();
  }

  function leave() {
    replace(beside);
    body.classList.remove("open");
  }

  // The event of the address, which the list need not hold.
  async function showEvent() {
    if (!page.asked.event) return leave();
    try {
      const { rows } = await api.get("labels", { event: page.asked.event, hours: MOST_HOURS, limit: 1 });
      if (rows.length) show(rows[0], true);
      else replace(beside, empty(`No label of event ${page.asked.event} yet.`, "A view has one once a checkpoint is written, seconds after it was read."));
    } catch (problem) {
      replace(beside, failure(problem, showEvent));
    }
    return body.classList.add("open");
  }

  async function showHistogram() {
    try {
      const data = await api.get("labels/histogram", { hours: page.asked.hours });
      page.prior = data.prior;
      replace(histogram, data.rows ? histogramOf(data) : null);
    } catch (problem) {
      replace(histogram, failure(problem, showHistogram));
    }
  }

  replace(search, labelSearch(page.asked, api, ask));
  await showHistogram(); // first: the panel marks its prior
  await Promise.all([showList(), showEvent()]);
  return undefined;
}

function histogramOf(data) {
  const told = [`Mean target ${probability(data.mean)}, prior `, h("span", { class: "prior-key" }, probability(data.prior)), "."];
  const summary = h("summary", null, h("h2", null, "Targets of the unlabelled against the prior"));
  const silent = data.mean < SILENT ? "Silence counts as a no in this log, so what nothing was said about is trained toward 0. " : "";
  const how = "Targets from 10⁻⁴ to 1, what is lower in the first bar; heights by the square root of the count.";
  const content = [h("p", { class: "muted" }, told, " ", silent, how), targetHistogram(data)];
  return h("details", { class: "panel targets", open: matchMedia("(min-width: 760px)").matches }, summary, content);
}

function id(value) {
  return h("span", { class: "id", title: value }, value);
}

function doubt(value) {
  const bar = h("span", { class: "doubt-bar", "aria-hidden": "true" }, h("span", { style: { width: `${100 * (value ?? 0)}%` } }));
  return [bar, percent(value, 0)];
}
