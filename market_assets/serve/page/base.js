// What both documents need: questions to the API, problems shown, times, the theme, the token.

const TOKEN = "market-assets-token";
const THEME = "market-assets-theme";

/** Why the server does not answer: the words of its problem document. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `The server has answered with ${status}.`);
    this.status = status;
    this.step = document.next || "";
  }
}

/** Whether a token is known, so that work may be started. */
export const hasToken = () => Boolean(sessionStorage.getItem(TOKEN));

export const element = (id) => document.getElementById(id);

/**
 * Make an element. Texts are texts, whatever they hold.
 * @param {string} name of the tag
 * @param {object} properties set on the element; `class` and names with a hyphen are attributes
 * @param {...(Node|string|number|null)} parts its content
 */
export function make(name, properties = {}, ...parts) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key === "class") made.className = value;
    else if (key.includes("-") || key === "scope" || key === "role") made.setAttribute(key, value);
    else made[key] = value;
  }
  made.append(...parts.filter((part) => part !== null && part !== undefined).map((part) =>
    part instanceof Node ? part : String(part)));
  return made;
}

/** A table in a frame that scrolls sideways. Columns: {title, kind}; rows: lists of parts. */
export function table(caption, columns, rows) {
  const head = make("tr", {}, ...columns.map(({ title, kind }) =>
    make("th", { scope: "col", class: kind }, title)));
  const body = rows.map((parts) => make("tr", {}, ...parts.map((part, place) =>
    place === 0
      ? make("th", { scope: "row" }, part)
      : make("td", { class: columns[place].kind }, part))));
  const made = make("table", {}, make("caption", { class: "sr" }, caption),
    make("thead", {}, head), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": caption }, made);
}

function headers(more = {}) {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function failed(response) {
  let document = {};
  try {
    document = await response.json();
  } catch {
    // It was no document of ours, such as that of a proxy.
  }
  return new Problem(response.status, document);
}

/**
 * Ask the API, and ask for the token where one is needed.
 * @returns {Promise<Response>}
 * @throws {Problem} for every answer that is none
 */
export async function ask(path, options = {}) {
  let response = await fetch(path, { ...options, headers: headers(options.headers) });
  while (response.status === 401) {
    const again = hasToken();
    sessionStorage.removeItem(TOKEN);
    await askForToken(again);
    response = await fetch(path, { ...options, headers: headers(options.headers) });
  }
  if (!response.ok) throw await failed(response);
  return response;
}

export const read = async (path, options) => (await ask(path, options)).json();

let waiting = null;

/** Ask the person for the token, once for all questions that wait for it. */
function askForToken(again) {
  waiting ??= new Promise((resolve) => {
    const input = make("input", { type: "password", autocomplete: "off", required: true });
    const words = again
      ? "This is not the token of this server."
      : "This server wants the token of `serve.token`. It is kept until this tab is closed.";
    const form = make("form", { method: "dialog" }, make("p", {}, words),
      make("label", {}, "Token ", input), make("button", { type: "submit" }, "Go on"));
    const dialog = make("dialog", { "aria-label": "Token" }, form);
    form.addEventListener("submit", () => {
      sessionStorage.setItem(TOKEN, input.value.trim());
      dialog.remove();
      waiting = null;
      showToken();
      resolve();
    });
    // Without a token there is nothing to see: Escape does not lead anywhere.
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
  });
  return waiting;
}

function showToken() {
  const button = element("token");
  if (!button) return;
  button.hidden = !hasToken();
  button.textContent = "Forget the token";
}

/** Show why something could not be had; without one, take it away. */
export function showProblem(problem) {
  const place = element("problem");
  place.hidden = !problem;
  if (!problem) return;
  const words = problem instanceof Problem ? problem.message
    : problem instanceof TypeError ? "The server does not answer." : String(problem.message);
  const step = problem.step || (problem instanceof TypeError ? "It is asked again in a moment." : "");
  place.replaceChildren(words, step ? ` ${step}` : "");
}

/** Tell a screen reader what has changed. */
export function announce(words) {
  element("news").textContent = words;
}

/** An instant of the API as people read it, in UTC. */
export const time = (text) => text ? text.replace("T", " ").replace(/(:\d\d)(\.\d+)?Z$/, (_, seconds) =>
  seconds === ":00" ? "" : seconds) : "";

export const number = (value) => value === null || value === undefined ? ""
  : Number(value).toLocaleString("en-US");

/** A share as percent that never rounds up to 100. */
export function percent(share) {
  if (share === null || share === undefined) return "";
  if (share >= 1) return "100 %";
  const rounded = Math.floor(share * 100000) / 1000;
  return `${rounded.toFixed(share > 0.99 ? 3 : 1)} %`;
}

const LENGTHS = { m: 60, h: 3600, d: 86400, w: 604800 };

/** How many seconds a bar of a timeframe lasts. */
export const lengthOf = (timeframe) => Number(timeframe.slice(0, -1)) * LENGTHS[timeframe.at(-1)];

export const symbolPage = (profile, timeframe, symbol, at = "") =>
  `/symbol?${new URLSearchParams({ profile, timeframe, symbol, ...(at ? { at } : {}) })}`;

/**
 * Follow the events of the server; begins again when an answer has ended.
 * @param {(event: string, data: object) => void} heard
 */
export async function follow(heard) {
  for (;;) {
    try {
      const response = await ask("/v1/events");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        const blocks = text.split("\n\n");
        text = blocks.pop();
        for (const block of blocks) {
          const fields = Object.fromEntries(block.split("\n").map((line) => {
            const place = line.indexOf(": ");
            return [line.slice(0, place), line.slice(place + 2)];
          }));
          if (fields.event) heard(fields.event, JSON.parse(fields.data));
        }
      }
    } catch (problem) {
      showProblem(problem);
      await new Promise((resolve) => setTimeout(resolve, 5000));
    }
  }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Wire what stands at the head of both documents. */
export function begin() {
  const chosen = localStorage.getItem(THEME);
  if (chosen) document.documentElement.dataset.theme = chosen;
  element("theme").addEventListener("click", () => {
    const theme = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = theme;
    localStorage.setItem(THEME, theme);
    document.dispatchEvent(new CustomEvent("theme"));
  });
  element("token").addEventListener("click", () => {
    sessionStorage.removeItem(TOKEN);
    location.reload();
  });
  showToken();
}
