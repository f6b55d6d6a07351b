// The overview: verdict, jobs, alerts, matrix, heat map, gaps.

import {
  announce, ask, begin, element, follow, lengthOf, make, number, percent, read, showProblem, symbolPage, table,
  time,
} from "./base.js";

const WELL = new Set(["HEALTHY", "PENDING"]);
const MOST_SYMBOLS = 50;
const MOST_GAPS = 100;
const BANDS = [
  [1, "whole", "100 %"], [0.99, "from99", "from 99 %"], [0.9, "from90", "from 90 %"],
  [0.5, "from50", "from 50 %"], [1e-12, "above0", "above 0 %"], [0, "zero", "0 %"],
];
const REFRESH = 3000;
const SOON = 300;
/** Columns of the heat map from one date to the next: as wide as a date is. */
const LABEL_EVERY = 6;

let timer = null;
let shownAt = 0;
/** The rows of the status as they were read last, and the cell of the matrix that is open. */
let known = [];
let chosen = "";

async function showStatus() {
  const response = await ask("/v1/status");
  const asOf = response.headers.get("Market-Assets-As-Of");
  element("as-of").textContent = asOf ? `as of ${time(asOf)} UTC` : "";
  const status = await response.json();
  const verdict = element("verdict");
  const before = verdict.textContent;
  const isEmpty = status.series.length === 0;
  verdict.textContent = isEmpty ? "Nothing was filled yet"
    : status.complete ? "Complete: nothing that is due is missing"
      : status.missing === 1 ? "1 bar is missing" : `${number(status.missing)} bars are missing`;
  verdict.className = isEmpty ? "warn" : status.complete ? "good" : "bad";
  if (before !== verdict.textContent && before !== "Loading") announce(verdict.textContent);
  element("summary").textContent =
    `${number(status.expected)} bars must exist, ${number(status.stored)} are stored, ` +
    `${number(status.explained)} are absent with evidence.` +
    (status.never_filled.length ? ` Never filled: ${status.never_filled.join(", ")}.` : "");
  showMatrix(status.series);
}

const sum = (rows, key) => rows.reduce((total, row) => total + row[key], 0);

/** The rows of the status by profile, and in each by timeframe. */
function byProfile(series) {
  const profiles = new Map();
  for (const row of series) {
    if (!profiles.has(row.profile)) profiles.set(row.profile, new Map());
    const timeframes = profiles.get(row.profile);
    if (!timeframes.has(row.timeframe)) timeframes.set(row.timeframe, []);
    timeframes.get(row.timeframe).push(row);
  }
  return profiles;
}

const symbolsIn = (rows) => rows.length === 1 ? "1 symbol" : `${number(rows.length)} symbols`;

function cellOf(rows, key) {
  if (!rows) return make("span", { class: "soft" }, "not kept");
  const expected = sum(rows, "expected");
  const missing = sum(rows, "missing");
  const ill = rows.filter((row) => !WELL.has(row.health)).length;
  const isPending = rows.every((row) => row.health === "PENDING");
  const words = isPending ? "pending" : percent(expected ? 1 - missing / expected : 1);
  const button = make("button", {
    type: "button", class: `cell ${ill ? "bad" : isPending ? "soft" : "good"}`,
    "aria-expanded": String(key === chosen), "aria-controls": "symbols",
    title: `${number(expected)} bars must exist, ${number(sum(rows, "stored"))} are stored, ` +
      `${number(sum(rows, "explained"))} are absent with evidence; ${ill} of ${rows.length} symbols lack bars`,
  }, make("b", {}, words), make("small", {}, missing ? `${number(missing)} missing` : symbolsIn(rows)));
  button.addEventListener("click", () => {
    chosen = key === chosen ? "" : key;
    showMatrix(known);
    element("symbols").scrollIntoView({ block: "nearest" });
  });
  button.dataset.key = key;
  return button;
}

function symbolsOf(rows) {
  const worst = [...rows].sort((one, other) =>
    other.missing - one.missing || one.symbol.localeCompare(other.symbol));
  const shown = worst.slice(0, MOST_SYMBOLS);
  const { profile, timeframe } = rows[0];
  const left = worst.length - shown.length;
  const caption = `Symbols of ${profile} ${timeframe}`;
  return [make("h3", {}, caption), table(caption, [
    { title: "Symbol" }, { title: "Complete", kind: "number" }, { title: "Expected", kind: "number" },
    { title: "Stored", kind: "number" }, { title: "Explained", kind: "number" },
    { title: "Missing", kind: "number" }, { title: "Newest bar", kind: "time" }, { title: "Health" },
  ], shown.map((row) => [
    make("a", { href: symbolPage(profile, timeframe, row.symbol) }, row.symbol),
    percent(row.completeness), number(row.expected), number(row.stored), number(row.explained),
    number(row.missing), time(row.last_ts), row.health.toLowerCase(),
  ])), left ? make("p", { class: "soft" }, `${number(left)} more, each at least as whole.`) : ""];
}

/** A row a profile, a column a timeframe; a cell opens its symbols. */
function showMatrix(series) {
  known = series;
  const focused = document.activeElement?.dataset?.key;
  const profiles = byProfile(series);
  const timeframes = [...new Set(series.map((row) => row.timeframe))].sort((one, other) =>
    lengthOf(one) - lengthOf(other));
  const rows = [...profiles].map(([profile, kept]) => [profile, ...timeframes.map((timeframe) =>
    cellOf(kept.get(timeframe), `${profile} ${timeframe}`))]);
  element("matrix").replaceChildren(rows.length ? table("Completeness by profile and timeframe",
    [{ title: "Profile" }, ...timeframes.map((title) => ({ title }))], rows)
    : make("p", { class: "soft" }, "Nothing was counted yet: market-assets backfill fills a home."));
  const [profile, timeframe] = chosen.split(" ");
  const group = profiles.get(profile)?.get(timeframe);
  element("symbols").replaceChildren(...(group ? symbolsOf(group) : []));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

async function showAlerts() {
  const { looked, alerts } = await read("/v1/alerts");
  const rows = alerts.slice(0, 50).map((alert) => [
    make("span", { class: alert.level === "ERROR" ? "bad" : "warn" }, alert.level.toLowerCase()),
    alert.profile, alert.summary, time(alert.opened_at),
  ]);
  element("alerts").replaceChildren(rows.length ? table("Troubles that go on", [
    { title: "Level" }, { title: "Profile" }, { title: "What", kind: "words" }, { title: "Since", kind: "time" },
  ], rows) : make("p", { class: "soft" }, looked ? "None." : "Nobody has looked yet: market-assets up does."));
  const left = alerts.length - rows.length;
  if (left > 0) element("alerts").append(make("p", { class: "soft" }, `${number(left)} more.`));
}

async function showGaps() {
  const explained = element("gaps-explained").checked;
  const { total, gaps } = await read(`/v1/gaps?limit=${MOST_GAPS}${explained ? "&explained=true" : ""}`);
  const rows = gaps.map((gap) => [
    make("a", { href: symbolPage(gap.profile, gap.timeframe, gap.symbol, gap.first_ts) },
      `${gap.profile} ${gap.symbol} ${gap.timeframe}`),
    time(gap.first_ts), time(gap.last_ts), number(gap.bars), gap.status.replace("_", " "), gap.reason || "",
  ]);
  element("gaps").replaceChildren(rows.length ? table("Gaps", [
    { title: "Series" }, { title: "First bar", kind: "time" }, { title: "Last bar", kind: "time" },
    { title: "Bars", kind: "number" }, { title: "Status" }, { title: "Reason", kind: "words" },
  ], rows) : make("p", { class: "soft" }, "None."));
  const left = total - gaps.length;
  if (left > 0) {
    const words = `${number(left)} more: market-assets gaps lists all.`;
    element("gaps").append(make("p", { class: "soft" }, words));
  }
}

const band = (share) => BANDS.find(([least]) => share >= least);

function cell(heat, row, place) {
  const share = row.shares[place];
  if (share === null) return make("td", { class: "nothing" }, make("span", { class: "sr" }, "nothing is due"));
  const isNever = row.never_filled.includes(place);
  const [, colour] = isNever ? [0, "never"] : band(share);
  const words = `${row.symbol} ${heat.columns[place]}: ${isNever ? "never filled" : percent(share)}`;
  const href = symbolPage(heat.profile, heat.timeframe, row.symbol, `${heat.columns[place]}T00:00:00Z`);
  // Of whole stretches there is nothing to tell, and no stop for the keyboard.
  const isWhole = share >= 1;
  return make("td", { class: colour, title: words },
    make("a", { href, tabIndex: isWhole ? -1 : 0, "aria-label": words }));
}

async function showHeat() {
  const profile = element("heat-profile").value;
  if (!profile) return;
  const heat = await read(`/v1/heat?${new URLSearchParams({ profile })}`);
  const isDaily = heat.bucket === "day";
  const label = (day) => isDaily ? day.slice(5) : day.slice(0, 7);
  const head = make("tr", {}, make("th", { scope: "col" }, make("span", { class: "sr" }, "Symbol")),
    ...heat.columns.map((day, place) =>
      make("th", { scope: "col" }, place % LABEL_EVERY === 0 ? label(day) : "")));
  const body = heat.rows.map((row) => make("tr", {}, make("th", { scope: "row" }, row.symbol),
    ...row.shares.map((_, place) => cell(heat, row, place))));
  const caption = `${heat.profile} ${heat.timeframe} by ${heat.bucket}`;
  const legend = make("ul", { class: "legend" }, ...[...BANDS, [0, "never", "never filled"],
    [0, "nothing", "nothing is due"]].map(([, colour, words]) =>
    make("li", {}, make("span", { class: `mark ${colour}` }), words)));
  element("heat").replaceChildren(
    heat.rows.length ? make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": caption },
      make("table", { class: "heat" }, make("caption", { class: "sr" }, caption), make("thead", {}, head),
        make("tbody", {}, ...body))) : make("p", { class: "soft" }, "Nothing is due yet."),
    legend,
    make("p", { class: "soft" }, `A cell is a ${heat.bucket} of ${heat.timeframe} bars and shows the worst partition in it.` +
      (heat.left_out ? ` ${number(heat.left_out)} symbols are left out, each at least as whole.` : "")));
}

function showJobs(jobs) {
  const rows = jobs.map((job) => [
    job.kind || job.job_id, job.profile, job.timeframe || "",
    make("span", {}, make("progress", { max: 1, value: job.progress ?? 0, "aria-label": "Progress" }),
      ` ${percent(job.progress ?? 0)}`), time(job.started_at),
  ]);
  element("jobs").replaceChildren(rows.length ? table("Jobs that run", [
    { title: "Job" }, { title: "Profile" }, { title: "Timeframe" }, { title: "Progress" },
    { title: "Started", kind: "time" },
  ], rows) : make("p", { class: "soft" }, "None."));
}

async function showAll() {
  timer = null;
  shownAt = performance.now();
  try {
    await Promise.all([showStatus(), showAlerts(), showGaps(), showHeat()]);
    showProblem(null);
  } catch (problem) {
    showProblem(problem);
  }
}

/** Show everything anew soon, and not more often than that, however often something is committed. */
function renewSoon() {
  timer ??= setTimeout(showAll, Math.max(SOON, shownAt + REFRESH - performance.now()));
}

async function main() {
  begin();
  try {
    const { profiles } = await read("/v1/symbols");
    element("heat-profile").append(...profiles.map(({ profile }) => make("option", { value: profile }, profile)));
  } catch (problem) {
    showProblem(problem);
  }
  element("heat-profile").addEventListener("change", () => showHeat().catch(showProblem));
  element("gaps-explained").addEventListener("change", () => showGaps().catch(showProblem));
  await showAll();
  let running = 0;
  await follow((kind, data) => {
    if (kind !== "commit") return;
    showProblem(data.problem ? new Error(data.problem) : null);
    showJobs(data.jobs);
    // Once the last job has ended, at once.
    if (running && !data.jobs.length && timer === null) showAll();
    else renewSoon();
    running = data.jobs.length;
  });
}

main();
