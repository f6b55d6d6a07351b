// The story of a bar, and its repair.

import { announce, ask, element, hasToken, make, number, read, showProblem, time } from "/page/base.js";
import { MISSING, STATES, bars, iso, seconds } from "/page/words.js";

const ENDS = ["SUCCESS", "FAILURE", "CANCELED"];
const PAUSE = 1000;

const rest = (pause) => new Promise((resolve) => setTimeout(resolve, pause));

/** The panel that tells the story of a bar. */
export class Story {
  /** @param {() => Promise<void>} healed is called when a run has ended, to show what it brought */
  constructor(healed) {
    this.healed = healed;
    this.asked = null;
    this.turn = 0;
    element("story-close").addEventListener("click", () => this.close());
  }

  close() {
    this.turn += 1;
    element("story").hidden = true;
    element("chart").focus();
  }

  /**
   * Tell of a bar.
   * @param {object} about profile, symbol, timeframe (a fetched one), ts, and an absence or null
   */
  async tell(about, { quietly = false } = {}) {
    const turn = ++this.turn;
    const { profile, symbol, timeframe, ts, absence } = about;
    let document;
    try {
      document = await read(`/v1/gaps/explain?${new URLSearchParams({ profile, symbol, timeframe, ts })}`);
      showProblem(null);
    } catch (problem) {
      showProblem(problem);
      return;
    }
    if (turn !== this.turn) return;
    const [story] = document.stories;
    const at = story.bar ? story.bar.ts : ts;
    const which = absence && absence.bars !== 1
      ? `${time(absence.first_ts)} to ${time(absence.last_ts)}: ${bars(absence.bars)}` : time(at);
    element("story-title").textContent = `${symbol} ${timeframe}, ${which}`;
    const word = STATES[story.state]?.[0] ?? story.state;
    const events = story.events.map(({ at: when, what }) => make("li", {}, `${time(when)}  ${what}`));
    element("story-body").replaceChildren(
      make("p", { class: "verdict" }, make("span", { class: `mark ${story.state}`, title: word }), story.verdict),
      make("p", {}, story.coming),
      ...(events.length ? [make("h3", {}, "What happened"), make("ol", {}, ...events)] : []));
    if (!quietly) this.offer(about, story);
    element("story").hidden = false;
    if (!quietly) {
      element("story-title").focus();
      element("story").scrollIntoView({ block: "nearest" });
    }
    return story;
  }

  offer(about, story) {
    const place = element("repair");
    if (!MISSING.includes(story.state)) {
      place.replaceChildren();
      return;
    }
    if (!hasToken()) {
      place.replaceChildren(make("p", { class: "soft" }, "With a token (serve.token in the universe) it can be repaired from here."));
      return;
    }
    const button = make("button", { type: "button", id: "repair-start" }, "Repair it now");
    button.addEventListener("click", () => this.repair(about, button));
    place.replaceChildren(button);
  }

  async repair(about, button) {
    const { profile, symbol, ts, absence } = about;
    button.disabled = true;
    const bar = make("progress", { max: 1, "aria-label": "Progress of the repair" });
    const words = make("span", { role: "status" }, " Starting");
    element("repair").append(" ", bar, words);
    const say = (text) => {
      words.textContent = ` ${text}`;
    };
    try {
      const from = seconds(absence ? absence.first_ts : ts);
      const to = seconds(absence ? absence.last_ts : ts) + 1;
      const answer = await ask("/v1/repairs", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ profile, symbols: [symbol], from: iso(from), to: iso(to) }),
      });
      const { runs } = await answer.json();
      if (!runs.length) {
        bar.remove();
        say("There is nothing to repair: the ledger asks for these bars no more. `market-assets repair --abandoned` does.");
        return;
      }
      element("repair").append(...runs.flatMap((run) => [" ", make("a", { href: run.page, rel: "noreferrer" }, "Its page in Dagster")]));
      const statuses = await Promise.all(runs.map((run) => this.follow(run, bar, say)));
      bar.remove();
      await this.healed();
      const story = await this.tell(about, { quietly: true });
      const whole = statuses.every((status) => status === "SUCCESS");
      const outcome = story?.state === "stored" ? "Healed: the bar is there."
        : whole ? "The repair has ended, and the bar is still absent."
          : "The repair has failed; its page in Dagster tells why.";
      say(outcome);
      announce(outcome);
    } catch (problem) {
      bar.remove();
      say("It was not started, or could not be followed.");
      button.disabled = false;
      showProblem(problem);
    }
  }

  /** Ask how a run is until it has ended. */
  async follow(run, bar, say) {
    for (;;) {
      const progress = await read(run.follow);
      if (progress.progress !== null) bar.value = progress.progress;
      const share = progress.progress === null ? "" : `, ${number(Math.floor(100 * progress.progress))} %`;
      say(`${progress.status.toLowerCase()}${share}`);
      if (ENDS.includes(progress.status)) return progress.status;
      await rest(PAUSE);
    }
  }
}
