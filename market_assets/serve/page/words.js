// The words for what a bar may be, and how prices are written.

/** By the state of an absence: its word in a legend, and a sentence of what it is. */
export const STATES = {
  open: ["missing", "nobody has given these bars yet; they are asked for again"],
  abandoned: ["given up", "sources did not give them, and they are asked for no more by themselves"],
  outage: ["outage", "the market was open, but no source has these bars"],
  closed: ["closed", "the market seems to have been closed"],
  halted: ["halted", "the whole market stood still"],
  no_trade: ["no trade", "nothing was traded"],
  removed: ["removed", "retention has removed them"],
};

/** By the kind of a mark: its word. */
export const MARKS = {
  disputed: "disputed by a second source",
  revised: "revised",
  late: "filled later",
  genesis: "first bar",
};

export const MISSING = ["open", "abandoned"];

/** How many decimals tell the prices apart, neither cut off nor padded with noise. */
export function decimalsOf(prices) {
  const values = prices.filter((value) => value !== null && value !== 0).map(Math.abs);
  if (!values.length) return 2;
  const least = Math.min(...values);
  const most = Math.max(2, Math.min(12, 6 - Math.ceil(Math.log10(least))));
  const some = values.slice(-300);
  for (let decimals = 2; decimals < most; decimals += 1) {
    const scale = 10 ** decimals;
    if (some.every((value) => Math.abs(value * scale - Math.round(value * scale)) < 1e-4 * Math.max(1, Math.abs(value * scale) * 1e-8))) {
      return decimals;
    }
  }
  return most;
}

/** A price with so many decimals, and a comma for thousands. */
export const price = (value, decimals) => value.toLocaleString("en-US",
  { minimumFractionDigits: decimals, maximumFractionDigits: decimals });

/** Seconds since 1970 as an instant of the API. */
export const iso = (seconds) => new Date(Math.round(seconds) * 1000).toISOString().replace(".000Z", "Z");

export const seconds = (text) => Date.parse(text) / 1000;

/** Some bars, in words. */
export const bars = (count) => count === null ? "bars that nobody has asked for"
  : `${count.toLocaleString("en-US")} ${count === 1 ? "bar" : "bars"}`;
