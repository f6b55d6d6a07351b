// The canvas: candles, volume, lines, bands behind what is absent, marks. It asks nobody.

import {
  CandlestickSeries, CrosshairMode, HistogramSeries, LineSeries, createChart, createSeriesMarkers,
} from "/page/vendor/lightweight-charts.standalone.production.mjs";
import { MARKS, decimalsOf, iso, price, seconds } from "/page/words.js";

const SHAPES = { disputed: "circle", revised: "square", late: "arrowUp", genesis: "arrowDown" };
const RAIL = 6;
const LINES = 6;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const faint = (name, share) => `color-mix(in srgb, ${colour(name)} ${share}%, transparent)`;

/** Bands behind the candles, and a rail below them, over each absence. */
class Bands {
  constructor(canvas) {
    this.canvas = canvas;
    this.view = { zOrder: () => "bottom", renderer: () => ({ draw: () => {}, drawBackground: (target) => this.draw(target) }) };
  }

  paneViews() {
    return [this.view];
  }

  draw(target) {
    const { scale, absences, chosen, tones } = this.canvas;
    const half = scale.options().barSpacing / 2;
    target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio: across, verticalPixelRatio: down }) => {
      for (const absence of absences) {
        const left = scale.timeToCoordinate(seconds(absence.start));
        const right = scale.timeToCoordinate(seconds(absence.end));
        if (left === null || right === null) continue;
        const x = Math.round((left - half) * across);
        const width = Math.max(2 * across, Math.round((right + half) * across) - x);
        if (x > bitmapSize.width || x + width < 0) continue;
        const tone = tones[absence.state] ?? tones.open;
        context.fillStyle = absence === chosen ? tone.chosen : tone.band;
        context.fillRect(x, 0, width, bitmapSize.height);
        context.fillStyle = tone.rail;
        context.fillRect(x, bitmapSize.height - RAIL * down, width, RAIL * down);
      }
    });
  }
}

/** A chart in an element. */
export class Canvas {
  /**
   * @param {HTMLElement} place
   * @param {object} heard `moved()`, `read(row)` with the row under the pointer or null, `pressed(row)`
   */
  constructor(place, heard) {
    this.absences = [];
    this.chosen = null;
    this.tones = {};
    this.rows = [];
    this.lines = new Map();
    this.decimals = 2;
    this.wanted = null;
    this.chart = createChart(place, {
      autoSize: true,
      // Its notice and the link to its maker stand at the foot of the page.
      layout: { attributionLogo: false },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { timeVisible: true, secondsVisible: false, minBarSpacing: 0.2, rightOffset: 2 },
      localization: { timeFormatter: (at) => iso(at).replace("T", " ").slice(0, 16) },
    });
    this.scale = this.chart.timeScale();
    this.candles = this.chart.addSeries(CandlestickSeries, { priceLineVisible: false, lastValueVisible: false });
    this.volumes = this.chart.addSeries(HistogramSeries, {
      priceFormat: { type: "volume" }, priceLineVisible: false, lastValueVisible: false,
    }, 1);
    this.bands = new Bands(this);
    this.candles.attachPrimitive(this.bands);
    this.marks = createSeriesMarkers(this.candles, []);
    this.scale.subscribeVisibleLogicalRangeChange(() => {
      this.wanted = null;
      heard.moved();
    });
    this.chart.subscribeCrosshairMove((event) => heard.read(this.rowAt(event.time)));
    this.chart.subscribeClick((event) => {
      const row = this.rowAt(event.time);
      if (row !== null) heard.pressed(row);
    });
    this.paint();
  }

  rowAt(time) {
    return time === undefined ? null : this.places.get(time) ?? null;
  }

  /** Take the colours of the theme. */
  paint() {
    const [ink, line, sheet] = [colour("ink"), colour("line"), colour("sheet")];
    this.chart.applyOptions({
      layout: { background: { color: sheet }, textColor: ink, panes: { separatorColor: line } },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
    });
    const [up, down] = [colour("up"), colour("down")];
    this.candles.applyOptions({
      upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false,
    });
    this.volumes.applyOptions({ color: colour("volume") });
    let place = 0;
    for (const series of this.lines.values()) series.applyOptions({ color: colour(`line${place++ % LINES}`) });
    for (const state of ["open", "abandoned", "outage", "closed", "halted", "no_trade", "removed"]) {
      this.tones[state] = { rail: faint(state, 100), band: faint(state, 20), chosen: faint(state, 42) };
    }
    this.mark(this.marked ?? []);
  }

  /** Show an answer of /v1/chart. */
  show(answer) {
    this.wanted = null;
    const times = answer.ts.map(seconds);
    this.rows = times;
    this.places = new Map(times.map((time, place) => [time, place]));
    this.decimals = decimalsOf([...answer.low, ...answer.close]);
    this.seconds = answer.seconds;
    const { open, high, low, close, volume } = answer;
    this.candles.applyOptions({
      priceFormat: { type: "custom", minMove: 10 ** -this.decimals, formatter: (value) => price(value, this.decimals) },
    });
    this.candles.setData(times.map((time, place) => close[place] === null ? { time }
      : { time, open: open[place], high: high[place], low: low[place], close: close[place] }));
    const hasVolume = volume.some((value) => value !== null);
    this.volumes.setData(times.map((time, place) => volume[place] === null ? { time } : { time, value: volume[place] }));
    this.draw(answer, hasVolume);
    this.absences = answer.absences;
    this.chosen = null;
    this.mark(answer.marks);
  }

  draw(answer, hasVolume) {
    for (const series of this.lines.values()) this.chart.removeSeries(series);
    this.lines.clear();
    const prices = answer.close.filter((value) => value !== null);
    const [least, most] = [Math.min(...prices), Math.max(...prices)];
    let pane = 2;
    for (const [name, values] of Object.entries(answer.features)) {
      const known = values.filter((value) => value !== null);
      const middle = known.length ? known.toSorted((a, b) => a - b)[known.length >> 1] : 0;
      const isPrice = middle > least / 2 && middle < most * 2 && !/rsi|ratio|volat/.test(name);
      const series = this.chart.addSeries(LineSeries, {
        lineWidth: 1, color: colour(`line${this.lines.size % LINES}`), priceLineVisible: false,
        lastValueVisible: false, crosshairMarkerVisible: false,
        priceFormat: { type: "custom", minMove: 1e-9, formatter: (value) => price(value, isPrice ? this.decimals : decimalsOf([value]) > 4 ? 6 : 2) },
      }, isPrice ? 0 : pane++);
      // The line of a bar goes to the next one that has a value: none leads over bars without one.
      series.setData(answer.ts.map((text, place) => values[place] === null ? { time: seconds(text) }
        : { time: seconds(text), value: values[place], ...(values[place + 1] === null && { color: "transparent" }) }));
      this.lines.set(name, series);
    }
    this.chart.panes().forEach((part, place) => part.setStretchFactor(place === 0 ? 5 : 1));
    this.volumes.applyOptions({ visible: hasVolume });
  }

  mark(marks) {
    this.marked = marks;
    this.marks.setMarkers(marks.map(({ ts, kind }) => ({
      time: seconds(ts), position: kind === "late" ? "belowBar" : "aboveBar", shape: SHAPES[kind],
      color: colour(kind), size: 0.7, text: kind === "genesis" ? MARKS.genesis : undefined,
    })));
  }

  /** Give one absence more weight than the others. */
  choose(absence) {
    this.chosen = absence;
    // A new option has the whole be drawn again.
    this.chart.applyOptions({});
    this.candles.applyOptions({});
  }

  /** The second at a place between the bars, and beyond them. */
  timeAt(place) {
    const { rows } = this;
    const last = rows.length - 1;
    if (place <= 0) return rows[0] + place * this.seconds;
    if (place >= last) return rows[last] + (place - last) * this.seconds;
    const whole = Math.floor(place);
    return rows[whole] + (place - whole) * (rows[whole + 1] - rows[whole]);
  }

  placeAt(time) {
    const { rows } = this;
    const last = rows.length - 1;
    if (time <= rows[0]) return (time - rows[0]) / this.seconds;
    if (time >= rows[last]) return last + (time - rows[last]) / this.seconds;
    let [low, high] = [0, last];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (rows[middle] <= time) low = middle; else high = middle;
    }
    return low + (time - rows[low]) / (rows[high] - rows[low]);
  }

  /** From when to when is seen, and how many bars; null where there is none. */
  get seen() {
    const range = this.wanted ?? this.scale.getVisibleLogicalRange();
    if (!range || !this.rows.length) return null;
    const { from, to } = range;
    return {
      from: this.timeAt(from), to: this.timeAt(to), middle: this.timeAt((from + to) / 2), bars: to - from,
      // Whether there is room without a bar at either side.
      before: from < -1, behind: to > this.rows.length + 1,
    };
  }

  /** See from one second to another. */
  see(from, to) {
    if (this.rows.length) this.look(this.placeAt(from), this.placeAt(to));
  }

  /** See so many bars around a second. */
  seeAround(middle, count) {
    if (!this.rows.length) return;
    const place = this.placeAt(middle);
    this.look(place - count / 2, place + count / 2);
  }

  look(from, to) {
    // It is drawn with the next frame: until then, this is what is seen.
    this.wanted = { from, to };
    this.scale.setVisibleLogicalRange(this.wanted);
  }
}
