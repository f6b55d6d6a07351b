// The page of a symbol: what is chosen, what is asked for while somebody moves and zooms, and gaps.

import { announce, begin, ask, element, follow, lengthOf, make, number, read, showProblem, table, time } from "/page/base.js";
import { Canvas } from "/page/chart.js";
import { Story } from "/page/story.js";
import { MARKS, STATES, bars, iso, price, seconds } from "/page/words.js";

const BARS = 2000;
const FIRST_SIGHT = 160;
const FEW = 130;
const PAUSE = 180;
const LISTED = 100;
const FRESH = 2000;
const DAY = 86400;

const query = new URLSearchParams(location.search);
const chosen = { profile: "", symbol: "", timeframe: "", adjusted: query.get("adjusted") === "true", features: [] };
let profiles = [];
let answer = null;
let asked = null;
let abort = null;
let timer = 0;
let gap = null;

begin();
const canvas = new Canvas(element("chart"), { moved, read: showRow, pressed });
const story = new Story(() => load(asked));

// What is asked for ---------------------------------------------------------------------------------

/** Ask for the bars of a window and show them; what was asked for before is broken off. */
async function load(window, { show = null } = {}) {
  abort?.abort();
  abort = new AbortController();
  const { profile, symbol, timeframe, adjusted, features } = chosen;
  const from = Math.max(window.from, 0);
  const wish = { profile, symbol, timeframe, bars: BARS, from: iso(from), to: iso(Math.max(window.to, from)) };
  if (adjusted) wish.adjusted = true;
  // Features of another level may not be there: what is stored of this one is known when it is here.
  const known = features.filter((name) => answer?.feature_names.includes(name));
  if (known.length) wish.features = known.join(",");
  try {
    const response = await ask(`/v1/chart?${new URLSearchParams(wish)}`, { signal: abort.signal });
    const fresh = await response.json();
    element("as-of").textContent = `As of ${time(response.headers.get("Market-Assets-As-Of"))}`;
    const lacking = features.filter((name) => fresh.feature_names.includes(name) && !(name in fresh.features));
    const isOther = answer === null || fresh.level !== answer.level;
    const seen = canvas.seen;
    answer = fresh;
    asked = window;
    canvas.show(fresh);
    if (show) canvas.see(show.from, show.to);
    else if (seen && isOther) canvas.see(seen.from, seen.to);
    else if (seen) canvas.seeAround(seen.middle, seen.bars);
    gap = (gap && fresh.absences.find((absence) => absence.first_ts === gap.first_ts)) || null;
    canvas.choose(gap);
    tell(isOther);
    showProblem(null);
    if (lacking.length) await load(window);
    else moved();
  } catch (problem) {
    if (problem.name !== "AbortError") {
      showProblem(problem);
      if (!answer) element("summary").textContent = "Nothing can be shown.";
    }
  }
}

/** Ask for more where what is seen is not there, or is there in longer bars than it need be. */
function moved() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    const seen = canvas.seen;
    if (!seen || !answer) return;
    const first = seconds(answer.first_ts ?? answer.ts[0]);
    const last = seconds(answer.last_ts ?? answer.ts.at(-1)) + answer.seconds;
    const span = seen.to - seen.from;
    const window = { from: seen.from - span / 2, to: seen.to + span / 2 };
    const isBeyond = Math.max(seen.from, first) < asked.from || Math.min(seen.to, last) > asked.to;
    const isCoarse = answer.level !== chosen.timeframe && seen.bars < FEW
      && asked.to - asked.from > 1.5 * (window.to - window.from);
    if (isBeyond || isCoarse) {
      load(window);
      return;
    }
    // The market was closed at the edge: what lies behind that is looked for day by day.
    const step = Math.max(span / 2, DAY);
    const isShortBefore = seen.before && asked.from > first && answer.ts.length;
    const isShortBehind = seen.behind && asked.to < last && answer.ts.length;
    if (isShortBefore || isShortBehind) {
      load({ from: asked.from - (isShortBefore ? step : 0), to: asked.to + (isShortBehind ? step : 0) });
    } else list();
  }, PAUSE);
}

/** The window of the first sight: around an instant, or up to the newest bar. */
function start(at) {
  answer = null;
  gap = null;
  const profile = profiles.find(({ profile: name }) => name === chosen.profile);
  const symbol = profile.symbols.find(({ symbol: name }) => name === chosen.symbol);
  const length = lengthOf(chosen.timeframe);
  const newest = seconds(symbol.last_ts ?? symbol.start) + length;
  const span = FIRST_SIGHT * length;
  const middle = at && Number.isFinite(seconds(at)) ? seconds(at) + length / 2 : newest - span / 2 + 4 * length;
  const show = { from: middle - span / 2, to: middle + span / 2 };
  return load({ from: show.from - span / 2, to: show.to + span / 2 }, { show });
}

// What is told --------------------------------------------------------------------------------------

function tell(isOther) {
  const { level, made_of: source, base } = answer;
  const stored = answer.close.filter((value) => value !== null).length;
  const how = source ? `made of ${source} while they are read` : "stored";
  const counts = new Map();
  for (const { state, bars: count } of answer.absences) {
    counts.set(state, count === null || counts.get(state) === null ? null : (counts.get(state) ?? 0) + count);
  }
  const absent = [...counts].map(([state, count]) => `${bars(count)} (${STATES[state]?.[0] ?? state})`).join(", ");
  const coarse = level !== chosen.timeframe ? ` ${chosen.timeframe} candles appear when you zoom in.` : "";
  const left = answer.absence_count > answer.absences.length ? ` The newest ${answer.absences.length} of ${number(answer.absence_count)} absences are shown.` : "";
  const marked = answer.mark_count > answer.marks.length ? ` The newest ${answer.marks.length} of ${number(answer.mark_count)} marks are shown.` : "";
  const words = answer.ts.length
    ? `${number(stored)} candles of ${level}, ${how}, from ${time(answer.ts[0])} to ${time(answer.ts.at(-1))}. `
      + `Absent: ${absent || "nothing"}.${left}${marked}${coarse}`
    : "There are no bars here.";
  element("summary").textContent = words;
  element("chart").setAttribute("aria-label", `Chart of ${chosen.profile} ${chosen.symbol} in ${level} candles`);
  element("gaps-title").textContent = `What is absent in what is seen (bars of ${base})`;
  if (isOther) announce(`Candles of ${level}`);
  showLegend(counts);
  showFeatures();
  list();
  showRow(null);
}

function showLegend(counts) {
  const kinds = [...new Set(answer.marks.map(({ kind }) => kind))];
  const entry = (name, words) => make("li", {}, make("span", { class: `mark ${name}` }), words);
  element("legend").replaceChildren(entry("up", "up"), entry("down", "down"),
    ...[...counts.keys()].map((state) => entry(state, STATES[state]?.[0] ?? state)),
    ...kinds.map((kind) => entry(kind, MARKS[kind] ?? kind)),
    ...Object.keys(answer.features).map((name, place) => entry(`line${place % 6}`, name)));
}

function showFeatures() {
  const place = element("features");
  place.hidden = !answer.feature_names.length && !chosen.features.length;
  const boxes = answer.feature_names.map((name) => {
    const box = make("input", { type: "checkbox", checked: chosen.features.includes(name), value: name });
    box.addEventListener("change", () => {
      const others = chosen.features.filter((other) => other !== name);
      chosen.features = box.checked ? [...others, name].slice(-6) : others;
      remember();
      load(asked);
    });
    return make("label", {}, box, ` ${name}`);
  });
  const none = make("p", { class: "soft" }, `No features are stored of ${answer.level}.`);
  const names = boxes.map((box) => box.textContent).join();
  const choice = element("feature-choice");
  // Made anew under the keyboard, a box would lose it.
  if (choice.dataset.names === names && boxes.length) return;
  choice.dataset.names = names;
  choice.replaceChildren(...(boxes.length ? boxes : [none]));
}

function showRow(row) {
  const place = element("reading");
  if (row === null || !answer) {
    place.textContent = "";
    return;
  }
  const state = answer.state[row];
  const word = state ? `  ${STATES[state]?.[0] ?? state}` : "";
  if (answer.close[row] === null) {
    place.textContent = `${time(answer.ts[row])}${word}`;
    return;
  }
  const values = ["open", "high", "low", "close"].map((name) =>
    `${name} ${price(answer[name][row], canvas.decimals)}`);
  const volume = answer.volume[row] === null ? [] : [`volume ${number(answer.volume[row])}`];
  const lines = Object.entries(answer.features).filter(([, line]) => line[row] !== null)
    .map(([name, line]) => `${name} ${Number(line[row].toPrecision(6))}`);
  place.textContent = `${time(answer.ts[row])}  ${[...values, ...volume, ...lines].join("  ")}${word && `  (${word.trim()} inside)`}`;
}

// Gaps ----------------------------------------------------------------------------------------------

function inSight() {
  const seen = canvas.seen;
  if (!seen || !answer) return [];
  return answer.absences.filter(({ start: from, end: to }) =>
    seconds(to) + answer.seconds > seen.from && seconds(from) < seen.to);
}

/** The table beside the canvas: the same for who does not see it. */
function list() {
  const seen = inSight().toReversed();
  const shown = seen.slice(0, LISTED);
  element("gaps-note").textContent = !seen.length ? "Nothing is absent here."
    : seen.length > shown.length ? `The newest ${LISTED} of ${number(seen.length)}; zoom in for the others.` : "";
  const rows = shown.map((absence) => {
    const button = make("button", { type: "button", "data-gap": absence.first_ts }, "Story");
    button.addEventListener("click", () => open(absence));
    const [word, meaning] = STATES[absence.state] ?? [absence.state, ""];
    return [time(absence.first_ts), time(absence.last_ts), absence.bars === null ? "not asked for" : number(absence.bars),
      make("span", {}, make("span", { class: `mark ${absence.state}` }), word), meaning, button];
  });
  const focused = document.activeElement?.dataset?.gap;
  const columns = [{ title: "first", kind: "time" }, { title: "last", kind: "time" }, { title: "bars", kind: "number" },
    { title: "why", kind: "" }, { title: "that is", kind: "words" }, { title: "", kind: "" }];
  element("gaps").replaceChildren(...(rows.length ? [table("What is absent", columns, rows)] : []));
  if (focused) element("gaps").querySelector(`[data-gap="${CSS.escape(focused)}"]`)?.focus();
}

function open(absence) {
  gap = absence;
  canvas.choose(absence);
  return story.tell({ ...chosen, timeframe: answer.base, ts: absence.first_ts, absence });
}

function pressed(row) {
  const at = answer.ts[row];
  const absence = answer.state[row] && answer.absences.find(({ start: from, end: to }) => from <= at && at <= to);
  if (absence) open(absence);
  else story.tell({ ...chosen, timeframe: answer.base, ts: at, absence: null });
}

/** Go to the next absence on one side: among what is loaded, else among all gaps of the ledger. */
async function leap(step) {
  const seen = canvas.seen;
  if (!seen || !answer) return;
  const all = answer.absences;
  const place = gap ? all.indexOf(gap) : -1;
  const middle = (seen.from + seen.to) / 2;
  const behind = all.findIndex(({ end: to }) => seconds(to) + answer.seconds > middle);
  const first = behind < 0 ? all.length : behind;
  const next = all[place >= 0 ? place + step : step > 0 ? first : first - 1];
  if (next) {
    const half = (seen.to - seen.from) / 2;
    const at = (seconds(next.start) + seconds(next.end) + answer.seconds) / 2;
    canvas.see(at - half, at + half);
    choose(next);
    return;
  }
  const { profile, symbol } = chosen;
  const { gaps } = await read(`/v1/gaps?${new URLSearchParams({ profile, symbols: symbol, limit: 10000 })}`);
  const border = gap ? seconds(gap.first_ts) : middle;
  const others = gaps.filter(({ timeframe }) => timeframe === answer.base).map(({ first_ts: at }) => seconds(at))
    .filter((at) => (step > 0 ? at > border : at < border));
  if (!others.length) {
    announce(step > 0 ? "Nothing is missing later." : "Nothing is missing earlier.");
    return;
  }
  const at = step > 0 ? Math.min(...others) : Math.max(...others);
  const half = (seen.to - seen.from) / 2;
  await go(at - half, at + half);
  chooseAt(at);
}

function choose(absence) {
  gap = absence;
  canvas.choose(absence);
  announce(`${STATES[gap.state]?.[0] ?? gap.state}, ${bars(gap.bars)}, ${time(gap.first_ts)} to ${time(gap.last_ts)}. Enter tells the story.`);
}

/** Choose the absence that holds an instant, where there is one. */
function chooseAt(at) {
  const holding = answer?.absences.find(({ start: from, end: to }) => seconds(from) <= at && at < seconds(to) + answer.seconds);
  if (holding) choose(holding);
}

// Keys ----------------------------------------------------------------------------------------------

function zoom(share) {
  const { from, to } = canvas.seen;
  const [middle, half] = [(from + to) / 2, ((to - from) / 2) * share];
  canvas.see(middle - half, middle + half);
}

function go(from, to) {
  const span = to - from;
  return load({ from: from - span / 2, to: to + span / 2 }, { show: { from, to } });
}

function act(key) {
  const seen = canvas.seen;
  if (!seen || !answer) return false;
  const span = seen.to - seen.from;
  const pan = (share) => canvas.see(seen.from + share * span, seen.to + share * span);
  const first = seconds(answer.first_ts ?? answer.ts[0]);
  const last = seconds(answer.last_ts ?? answer.ts.at(-1)) + answer.seconds;
  const acts = {
    ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1), PageUp: () => pan(-0.9), PageDown: () => pan(0.9),
    "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7),
    Home: () => go(first, first + span), End: () => go(last - span * 0.97, last + span * 0.03), a: () => go(first, last),
    n: () => leap(1).catch(showProblem), p: () => leap(-1).catch(showProblem),
    Enter: () => gap ? open(gap) : announce("No gap is chosen: N and P choose one."),
    Escape: () => story.close(),
  };
  const wanted = acts[key] ?? acts[key.toLowerCase()];
  wanted?.();
  return Boolean(wanted);
}

element("chart").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (act(event.key)) event.preventDefault();
});
for (const button of document.querySelectorAll(".zoom button")) {
  button.addEventListener("click", () => act(button.dataset.key));
}
element("story").addEventListener("keydown", (event) => {
  if (event.key === "Escape") story.close();
});

// What is chosen ------------------------------------------------------------------------------------

function remember() {
  const { profile, timeframe, symbol, adjusted, features } = chosen;
  const words = { profile, timeframe, symbol, ...(adjusted && { adjusted }), ...(features.length && { features: features.join(",") }) };
  history.replaceState(null, "", `/symbol?${new URLSearchParams(words)}`);
  document.title = `${symbol} ${timeframe}: market assets`;
  element("name").textContent = `${symbol}, ${profile}`;
}

const options = (select, names, name) => {
  element(select).replaceChildren(...names.map((each) => make("option", { value: each, selected: each === name }, each)));
};

/** Fill the lists, and take what is there in the place of what is not. */
function offer() {
  const profile = profiles.find(({ profile: name }) => name === chosen.profile) ?? profiles[0];
  const symbols = profile.symbols.map(({ symbol }) => symbol);
  const frames = [...profile.fetched, ...profile.derived];
  chosen.profile = profile.profile;
  if (!symbols.includes(chosen.symbol)) [chosen.symbol] = symbols;
  if (!frames.includes(chosen.timeframe)) [chosen.timeframe] = frames;
  chosen.adjusted &&= profile.adjusted;
  options("profile", profiles.map(({ profile: name }) => name), chosen.profile);
  options("symbol", symbols, chosen.symbol);
  options("timeframe", frames, chosen.timeframe);
  element("adjusted-label").hidden = !profile.adjusted;
  element("adjusted").checked = chosen.adjusted;
  remember();
}

for (const name of ["profile", "symbol", "timeframe"]) {
  element(name).addEventListener("change", (event) => {
    const seen = canvas.seen;
    chosen[name] = event.target.value;
    const middle = name === "timeframe" && seen ? iso((seen.from + seen.to) / 2) : "";
    element("story").hidden = true;
    offer();
    start(middle);
  });
}
element("adjusted").addEventListener("change", (event) => {
  chosen.adjusted = event.target.checked;
  remember();
  load(asked);
});
for (const [target, name] of [[document, "theme"], [matchMedia("(prefers-color-scheme: dark)"), "change"]]) {
  target.addEventListener(name, () => canvas.paint());
}

async function run() {
  try {
    ({ profiles } = await read("/v1/symbols"));
  } catch (problem) {
    showProblem(problem);
    element("name").textContent = "Nothing can be shown";
    return;
  }
  for (const name of ["profile", "symbol", "timeframe"]) chosen[name] = query.get(name) ?? "";
  chosen.features = (query.get("features") ?? "").split(",").filter(Boolean);
  const lacking = ["profile", "symbol"].filter((name) => query.get(name) && !known(name));
  offer();
  await start(query.get("at"));
  if (query.get("at")) chooseAt(seconds(query.get("at")));
  if (lacking.length) announce(`There is no such ${lacking.join(" and ")}: ${chosen.profile} ${chosen.symbol} is shown.`);
  let later = 0;
  let hears = false;
  follow((event) => {
    // The first event is the state that is shown already, and a stream commits each second.
    if (event === "commit" && hears && asked && !later) {
      later = setTimeout(() => {
        later = 0;
        load(asked);
      }, FRESH);
    }
    hears = true;
  });
}

function known(name) {
  const value = query.get(name);
  return name === "profile" ? profiles.some(({ profile }) => profile === value)
    : profiles.some(({ profile, symbols }) => profile === (query.get("profile") ?? profile)
      && symbols.some(({ symbol }) => symbol === value));
}

run();
