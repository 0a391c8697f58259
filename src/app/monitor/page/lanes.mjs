// Lanes over time: the loop, sources, deadlines, workers. A canvas, since there are thousands of pieces; the tables have
// the same as text.

import { PHASES, called, began, ended, worked } from "./record.mjs";
import { count, duration } from "./time.mjs";

/** Where time begins, in pixels: names are before it. */
export const LEFT = 150;
const [ROW, PIECE, TOP] = [28, 18, 22];
const SOURCES_MAX = 8;
/** A sleep that is shortened, in pixels. */
const SLEEP = 26;
/** A sleep of fewer nanoseconds than this is hardly one, and gets no room for its length. */
const HARDLY_A_SLEEP = 2e4;
/** Less than this is too narrow for a name, or for a phase's number. */
const [NAME_WIDTH, NUMBER_WIDTH] = [30, 9];

/** Where moments are in the picture: pieces of time, each with its own scale. */
export class Scale {
  constructor(turns, width, { fold, zoom, place, now }) {
    this.pieces = [];
    this.sleeps = [];
    if (fold) this.#folded(turns, width, zoom, place);
    else this.#true(turns, width, now);
  }

  /** Within a turn time is linear; a turn that is ten times as long is a little wider. Sleeps have one width. */
  #folded(turns, width, zoom, place) {
    const wide = (turn) => zoom * (16 + 22 * Math.log10(1 + worked(turn) / 1e3));
    const before = (turn) => zoom * (turn.phase_ns[0] > HARDLY_A_SLEEP ? SLEEP : 4);
    // Of those after the turn that is looked at, as many as leave it in the picture.
    let last = turns.findIndex((turn) => turn.n === place.turn);
    if (last < 0) last = turns.length - 1;
    for (let room = 0.6 * (width - LEFT); last + 1 < turns.length && room > 0; last += 1) room -= before(turns[last + 1]) + wide(turns[last + 1]);
    let x = width;
    for (const turn of turns.slice(0, last + 1).reverse()) {
      this.#piece(turn.at, ended(turn), x - wide(turn), x);
      x -= wide(turn);
      const slept = turn.phase_ns[0];
      const gap = before(turn);
      this.#piece(turn.at - slept, turn.at, x - gap, x);
      this.sleeps.push({ x: x - gap, width: gap, text: duration(slept) });
      x -= gap;
      if (x < LEFT) break;
    }
    this.pieces.reverse();
  }

  #true(turns, width, now) {
    const first = turns[0];
    const to = Math.max(now, ended(turns.at(-1)));
    this.#piece(first.at - first.phase_ns[0], to, LEFT, width);
    for (const turn of turns) {
      const from = this.x(turn.at - turn.phase_ns[0]);
      this.sleeps.push({ x: from, width: this.x(turn.at) - from, text: duration(turn.phase_ns[0]) });
    }
  }

  #piece(from, to, x0, x1) {
    this.pieces.push({ from, to, x0, x1 });
  }

  /** The first moment in the picture. */
  get from() {
    return this.pieces[0].from;
  }

  /** And the last one. */
  get to() {
    return this.pieces.at(-1).to;
  }

  /** The pixel of a moment; outside the picture, one at its edge. */
  x(at) {
    const piece = this.pieces.find(({ to }) => at <= to) ?? this.pieces.at(-1);
    const share = piece.to > piece.from ? (at - piece.from) / (piece.to - piece.from) : 0;
    return piece.x0 + Math.min(1, Math.max(0, share)) * (piece.x1 - piece.x0);
  }
}

export class Lanes {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.places = [];
    this.restyle();
  }

  /** The colours of the style sheet have changed: light is dark now. */
  restyle() {
    this.colours = colours(this.canvas);
  }

  /** Draws `turns`, with the one of `place` marked, and the `moment` at which playing is. */
  show({ turns, record, place, fold, zoom, moment }) {
    this.slow_ns = record.hello.slow_ns;
    const width = this.canvas.clientWidth;
    const shown = turns.length > 0 ? new Scale(turns, width - 10, { fold, zoom, place, now: record.now }) : undefined;
    turns = shown ? turns.filter((turn) => ended(turn) > shown.from && turn.at <= shown.to) : [];
    const lanes = shown ? this.#lanes(turns, record, shown) : [];
    const height = TOP + ROW * (2 + lanes.length) + 6;
    this.#resize(width, height);
    const pen = this.context;
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${this.colours.font}`;
    pen.textBaseline = "middle";
    this.places = [];
    if (!shown) return this.#text("No turn has ended yet.", LEFT, TOP + ROW, this.colours.soft);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT, height);
    pen.clip();
    this.#sleeps(shown, height);
    for (const turn of turns) this.#turn(turn, shown, place, height);
    for (const [row, lane] of lanes.entries()) lane.draw(TOP + ROW * (2 + row));
    if (moment !== undefined) this.#needle(shown.x(moment), height);
    pen.restore();
    const names = [{ name: "the loop", note: "its phases" }, { name: "dispatches", note: "in these phases" }, ...lanes];
    for (const [row, lane] of names.entries()) this.#name(lane, TOP + row * ROW);
    return undefined;
  }

  /** The turn at a point of the canvas. */
  turnAt(x) {
    return this.places.find(([from, to]) => x >= from && x <= to)?.[2];
  }

  #lanes(turns, record, scale) {
    const sources = new Map();
    for (const one of turns.flatMap((turn) => turn.dispatches)) {
      if (!sources.has(one.id)) sources.set(one.id, []);
      sources.get(one.id).push(one);
    }
    // Those that were busy last; in the order of their ids, so that they stay where they are.
    const busiest = [...sources.values()].sort((a, b) => b.at(-1).at - a.at(-1).at).slice(0, SOURCES_MAX);
    busiest.sort(([a], [b]) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
    const left = sources.size - busiest.length;
    const jobs = record.jobs.filter((job) => job.delivered >= scale.from && job.submitted <= ended(turns.at(-1)));
    const workers = [...new Set(jobs.map((job) => job.worker))].sort((a, b) => a - b);
    const lanes = busiest.map((dispatches) => ({
      name: called(dispatches[0]), note: routes(dispatches), draw: (y) => dispatches.forEach((one) => this.#dispatch(one, scale, y)),
    }));
    if (left > 0) lanes.push({ name: `and ${count(left, "more source")}`, note: "in the tables below", draw: () => {} });
    lanes.push({ name: "deadlines", note: ahead(record), draw: (y) => this.#deadlines(turns, y + PIECE / 2, scale, record) });
    for (const worker of workers) {
      const own = jobs.filter((job) => job.worker === worker);
      lanes.push({ name: record.labels[worker] ?? "worker", note: count(own.length, "job"), draw: (y) => own.forEach((job) => this.#job(job, y, scale, record)) });
    }
    return lanes;
  }

  #resize(width, height) {
    const ratio = devicePixelRatio;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  #sleeps({ sleeps }, height) {
    const pen = this.context;
    for (const { x, width, text } of sleeps) {
      pen.fillStyle = this.colours.sleep;
      pen.fillRect(x, TOP - 4, width, height - TOP);
      if (width < 14) continue;
      pen.save();
      pen.translate(x + width / 2, TOP + ROW - 4);
      pen.rotate(-Math.PI / 2);
      pen.textAlign = "center";
      this.#text(text, 0, 0, this.colours.soft, 2 * ROW);
      pen.restore();
    }
  }

  #turn(turn, scale, place, height) {
    const pen = this.context;
    const [from, to] = [scale.x(turn.at), Math.max(scale.x(ended(turn)), scale.x(turn.at) + 2)];
    this.places.push([from - 2, to, turn]);
    const isHere = turn.n === place?.turn;
    if (isHere) {
      pen.fillStyle = this.colours.here;
      pen.fillRect(from - 2, 0, to - from + 4, height - 4);
      this.#text(String(turn.n), Math.max(LEFT, Math.min(from, to - 8 * String(turn.n).length)), 10, this.colours.ink);
    }
    if (turn.gap > 0) this.#gap(turn, from - 3, height);
    for (let phase = 1; phase < PHASES.length; phase += 1) {
      if (turn.phase_ns[phase] === 0 && turn.counts[phase] === 0) continue;
      const at = began(turn, phase);
      const [left, right] = [scale.x(at), scale.x(at + turn.phase_ns[phase])];
      this.#box(left, right, TOP, { colour: this.colours.phases[phase], text: PHASES[phase], number: String(phase), isHere: isHere && phase === place.phase });
    }
    for (const one of turn.dispatches) this.#dispatch(one, scale, TOP + ROW);
  }

  #dispatch(one, scale, y) {
    const isSlow = one.ns > this.slow_ns;
    const box = { colour: isSlow ? this.colours.slow : this.colours.work, text: isSlow ? `slow: ${one.name}` : one.name, isOwn: one.observer };
    this.#box(scale.x(one.at), scale.x(one.at + one.ns), y, box);
  }

  /** Hollow where a deadline had been planned, filled where one was dispatched. */
  #deadlines(turns, y, scale, record) {
    for (const one of record.planned) if (one.at >= scale.from && one.at <= ended(turns.at(-1))) this.#diamond(scale.x(one.at), y, false);
    for (const one of turns.flatMap((turn) => turn.dispatches)) if (PHASES[one.phase] === "timers") this.#diamond(scale.x(one.at), y, true);
  }

  #diamond(x, y, isFilled) {
    const pen = this.context;
    pen.beginPath();
    for (const [dx, dy] of [[0, -5], [5, 0], [0, 5], [-5, 0]]) pen.lineTo(x + dx, y + dy);
    pen.closePath();
    pen.strokeStyle = pen.fillStyle = this.colours.ink;
    if (isFilled) pen.fill();
    pen.stroke();
  }

  #job(job, y, scale, record) {
    const [from, to] = [scale.x(job.started), scale.x(job.finished)];
    this.#arrow(scale.x(job.submitted), TOP + ROW + PIECE, from, y);
    this.#arrow(to, y, scale.x(job.delivered), TOP + ROW + PIECE);
    this.#box(from, to, y, { colour: this.colours.job, text: record.labels[job.label] || "the program" });
  }

  #arrow(x0, y0, x1, y1) {
    const pen = this.context;
    const angle = Math.atan2(y1 - y0, x1 - x0);
    pen.strokeStyle = pen.fillStyle = this.colours.soft;
    this.#line(x0, y0, x1, y1);
    pen.beginPath();
    pen.moveTo(x1, y1);
    for (const turn of [2.7, -2.7]) pen.lineTo(x1 + 7 * Math.cos(angle + turn), y1 + 7 * Math.sin(angle + turn));
    pen.fill();
  }

  #line(x0, y0, x1, y1) {
    this.context.beginPath();
    this.context.moveTo(x0, y0);
    this.context.lineTo(x1, y1);
    this.context.stroke();
  }

  /** Turns that are not known: a gap with its count, and no bridge over it. */
  #gap(turn, x, height) {
    const pen = this.context;
    pen.save();
    pen.setLineDash([3, 3]);
    pen.strokeStyle = this.colours.slow;
    this.#line(x, 14, x, height);
    pen.textAlign = "end";
    this.#text(`${turn.gap.toLocaleString("en")} not told`, x - 3, 8, this.colours.soft);
    pen.restore();
  }

  /** Where playing is. */
  #needle(x, height) {
    const pen = this.context;
    pen.save();
    pen.strokeStyle = pen.fillStyle = this.colours.needle;
    pen.lineWidth = 2;
    this.#line(x, TOP - 6, x, height);
    pen.beginPath();
    for (const [dx, y] of [[-6, TOP - 14], [6, TOP - 14], [0, TOP - 4]]) pen.lineTo(x + dx, y);
    pen.fill();
    pen.restore();
  }

  /** However short something was, it is seen. */
  #box(from, to, y, { colour, text, number, isOwn, isHere }) {
    const pen = this.context;
    const width = Math.max(1.5, to - from);
    pen.fillStyle = colour;
    pen.fillRect(from, y, width, PIECE);
    if (isOwn) this.#hatch(from, y, width);
    pen.strokeStyle = isHere ? this.colours.ink : this.colours.paper;
    pen.lineWidth = isHere ? 3 : 1;
    if (width > 5 || isHere) pen.strokeRect(from, y, width, PIECE);
    pen.lineWidth = 1;
    if (width >= NAME_WIDTH) {
      pen.save();
      pen.beginPath();
      pen.rect(from, y, width - 2, PIECE);
      pen.clip();
      this.#text(text, from + 4, y + PIECE / 2 + 1, this.colours.onWork);
      pen.restore();
    } else if (number && width >= NUMBER_WIDTH) {
      pen.textAlign = "center";
      this.#text(number, from + width / 2, y + PIECE / 2 + 1, this.colours.onWork);
      pen.textAlign = "start";
    }
  }

  #hatch(from, y, width) {
    const pen = this.context;
    pen.strokeStyle = this.colours.paper;
    for (let x = from; x < from + width; x += 5) this.#line(x, y + PIECE, Math.min(x + 5, from + width), y);
  }

  #name({ name, note }, y) {
    this.#text(name, 0, y + 5, this.colours.ink, LEFT - 8);
    this.context.font = `10.5px ${this.colours.font}`;
    this.#text(note, 0, y + 18, this.colours.soft, LEFT - 8);
    this.context.font = `12px ${this.colours.font}`;
  }

  #text(text, x, y, colour, width = undefined) {
    this.context.fillStyle = colour;
    this.context.fillText(text, x, y, width);
  }
}

/** What was asked of a source, the last first; two at most. */
function routes(dispatches) {
  const names = new Set(dispatches.map((one) => one.name).reverse());
  names.delete(dispatches[0].kindName);
  const [first, second] = names;
  return `${[first, second].filter(Boolean).join(", ")}${names.size > 2 ? " …" : ""}`;
}

function ahead(record) {
  const next = record.timers.find((one) => one.at > record.now);
  return next ? `next planned in ${duration(next.at - record.now)}` : "none planned";
}

/** The colours of the style sheet, which knows light from dark. */
function colours(canvas) {
  const style = getComputedStyle(canvas);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"), soft: of("--soft"), paper: of("--card"), here: of("--here"), sleep: of("--sleep"), work: of("--work"), job: of("--job"), slow: of("--slow"), onWork: of("--on-work"), needle: of("--needle"),
    phases: PHASES.map((phase) => of(`--${phase}`)), font: style.fontFamily,
  };
}
