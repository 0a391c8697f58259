// The last minute, a second to a bar: how long the loop was held, how busy it was, how much waited.

import { duration } from "./time.mjs";

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, SECONDS] = [300, 44, 60];

/** From a microsecond to a second: what matters are powers of ten. */
const logarithmic = (ns) => Math.max(0, Math.log10(ns / 1e3) / 6);

/** Against the most there was. */
const linear = (n, most) => n / most;

const STRIPS = [
  { name: "Longest turn", value: (second) => second.delay, height: logarithmic, text: duration, note: "1 µs to 1 s, logarithmic" },
  { name: "Busy", value: (second) => second.worked / (second.worked + second.slept || 1), height: (share) => share, text: (share) => `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`, note: "share of time awake" },
  { name: "Ready at once", value: (second) => second.ready, height: linear, text: String, note: "most sources in one turn" },
  { name: "Jobs handed out", value: (second) => second.pending, height: linear, text: String, note: "to workers, or waiting for one" },
  { name: "Jobs waiting", value: (second) => second.waiting, height: linear, text: String, note: "for a worker" },
];

export class Strips {
  constructor(place) {
    this.strips = STRIPS.map((strip) => {
      const figure = document.createElement("figure");
      const caption = document.createElement("figcaption");
      const svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      const bars = document.createElementNS(SVG, "path");
      svg.append(bars);
      figure.append(caption, svg);
      place.append(figure);
      return { ...strip, caption, bars };
    });
  }

  show(seconds, now) {
    const newest = Math.floor(now / 1e9);
    for (const { name, value, height, text, note, caption, bars } of this.strips) {
      const values = seconds.map((second) => value(second));
      const most = Math.max(...values, 0);
      const each = WIDTH / SECONDS;
      const path = seconds.map((second, at) => {
        const x = WIDTH - (newest - second.second + 1) * each;
        // What was there at all is seen.
        const tall = values[at] > 0 ? Math.max(2, Math.min(1, height(values[at], most || 1)) * HEIGHT) : 0;
        return x < 0 || tall === 0 ? "" : `M${x.toFixed(1)} ${HEIGHT}h${(each - 1).toFixed(1)}v${-tall.toFixed(1)}h${(1 - each).toFixed(1)}z`;
      });
      bars.setAttribute("d", path.join(""));
      caption.textContent = `${name}: ${text(values.at(-1) ?? 0)} last, ${text(most)} at most (${note})`;
    }
  }
}
