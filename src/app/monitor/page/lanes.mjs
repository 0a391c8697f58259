// Lanes over time: the loop, sources, deadlines, workers. A canvas, since there are thousands of pieces; the tables have
// the same as text.

import { PHASES, began, ended, short, worked } from "./record.mjs";
import { duration } from "./time.mjs";

const [LEFT, ROW, PIECE, TOP] = [132, 24, 18, 20];
const SOURCES_MAX = 8;
/** A sleep that is shortened, in pixels. */
const SLEEP = 26;

/** Where moments are in the picture: pieces of time, each with its own scale. */
class Scale {
  constructor(turns, width, fold, now) {
    this.pieces = [];
    this.sleeps = [];
    if (fold) this.#folded(turns, width);
    else this.#true(turns, width, now);
  }

  /** Within a turn time is linear; a turn that is ten times as long is a little wider. Sleeps have one width. */
  #folded(turns, width) {
    const wide = (turn) => 16 + 22 * Math.log10(1 + worked(turn) / 1e3);
    let x = width;
    for (const turn of turns.slice().reverse()) {
      this.#piece(turn.at, ended(turn), x - wide(turn), x);
      x -= wide(turn);
      const slept = turn.phase_ns[0];
      const gap = slept > 2e4 ? SLEEP : 4;
      this.#piece(turn.at - slept, turn.at, x - gap, x);
      this.sleeps.push({ x: x - gap, width: gap, text: duration(slept), turn });
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
      this.sleeps.push({ x: from, width: this.x(turn.at) - from, text: duration(turn.phase_ns[0]), turn });
    }
  }

  #piece(from, to, x0, x1) {
    this.pieces.push({ from, to, x0, x1 });
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
  }

  /** Draws `turns`, with the one of `place` marked. */
  show({ turns, record, place, fold, slow_ns }) {
    const lanes = turns.length > 0 ? this.#lanes(turns, record) : [];
    const height = TOP + ROW * 2 + 8 + lanes.length * ROW + 6;
    const width = this.#resize(height);
    const pen = this.context;
    this.colours = colours(this.canvas);
    pen.clearRect(0, 0, width, height);
    pen.font = `12px ${this.colours.font}`;
    pen.textBaseline = "middle";
    this.places = [];
    if (turns.length === 0) return this.#text("Nothing has happened yet.", LEFT, TOP + ROW, this.colours.soft);
    const scale = new Scale(turns, width - 10, fold, record.now);
    pen.save();
    pen.beginPath();
    pen.rect(LEFT, 0, width - LEFT, height);
    pen.clip();
    this.#sleeps(scale, height);
    for (const turn of turns) this.#turn(turn, scale, place, slow_ns, height);
    for (const [row, lane] of lanes.entries()) this.#lane(lane, TOP + ROW * 2 + 8 + row * ROW, scale, record, slow_ns);
    pen.restore();
    this.#names(lanes);
    return undefined;
  }

  /** The turn at a point of the canvas. */
  turnAt(x) {
    return this.places.find(([from, to]) => x >= from && x <= to)?.[2];
  }

  #lanes(turns, record) {
    const sources = new Map();
    for (const turn of turns) {
      for (const one of turn.dispatches) {
        if (!sources.has(one.id)) sources.set(one.id, { id: one.id, kind: one.kindName, dispatches: [], last: 0 });
        const source = sources.get(one.id);
        source.dispatches.push(one);
        source.last = one.at;
      }
    }
    // Those that were busy last; in the order of their names, so that they stay where they are.
    const busiest = [...sources.values()].sort((a, b) => b.last - a.last).slice(0, SOURCES_MAX);
    busiest.sort((a, b) => a.id.length - b.id.length || (a.id < b.id ? -1 : 1));
    const since = turns[0].at - turns[0].phase_ns[0];
    const jobs = record.jobs.filter((job) => job.delivered >= since);
    const workers = [...new Set(jobs.map((job) => job.worker))].sort((a, b) => a - b);
    return [
      ...busiest.map((source) => ({ name: name(source), source })),
      { name: "deadlines", deadlines: turns.flatMap((turn) => turn.dispatches).filter((one) => PHASES[one.phase] === "timers") },
      ...workers.map((worker) => ({ name: record.labels[worker] ?? "worker", jobs: jobs.filter((job) => job.worker === worker) })),
    ];
  }

  #resize(height) {
    const width = this.canvas.clientWidth;
    const ratio = devicePixelRatio;
    if (this.canvas.width !== Math.round(width * ratio) || this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return width;
  }

  #sleeps({ sleeps }, height) {
    const pen = this.context;
    for (const { x, width, text } of sleeps) {
      pen.fillStyle = this.colours.sleep;
      pen.fillRect(x, TOP, width, height - TOP);
      if (width >= SLEEP) {
        pen.save();
        pen.translate(x + width / 2, TOP + ROW + 3);
        pen.rotate(-Math.PI / 2);
        pen.textAlign = "center";
        this.#text(text, 0, 0, this.colours.soft);
        pen.restore();
        pen.textAlign = "start";
      }
    }
  }

  #turn(turn, scale, place, slow_ns, height) {
    const pen = this.context;
    const [from, to] = [scale.x(turn.at), Math.max(scale.x(ended(turn)), scale.x(turn.at) + 2)];
    this.places.push([from - 2, to, turn]);
    if (turn.n === place?.turn) {
      pen.fillStyle = this.colours.here;
      pen.fillRect(from - 2, 2, to - from + 4, height - 4);
      this.#text(String(turn.n), Math.max(LEFT, from), 11, this.colours.ink);
    }
    if (turn.gap > 0) this.#dashes(from - 3, height);
    for (let phase = 1; phase < PHASES.length; phase += 1) {
      const at = began(turn, phase);
      if (turn.phase_ns[phase] > 0 || turn.counts[phase] > 0) {
        this.#box(scale.x(at), scale.x(at + turn.phase_ns[phase]), TOP, PIECE, this.colours.phases[phase], PHASES[phase]);
      }
    }
    for (const one of turn.dispatches) this.#dispatch(one, scale, TOP + ROW, slow_ns);
  }

  #dispatch(one, scale, y, slow_ns) {
    const colour = one.ns > slow_ns ? this.colours.slow : this.colours.work;
    this.#box(scale.x(one.at), scale.x(one.at + one.ns), y, PIECE, colour, one.ns > slow_ns ? `slow: ${one.name}` : one.name, one.observer);
  }

  #lane(lane, y, scale, record, slow_ns) {
    for (const one of lane.source?.dispatches ?? []) this.#dispatch(one, scale, y, slow_ns);
    for (const job of lane.jobs ?? []) this.#job(job, y, scale, record);
    if (lane.deadlines) this.#deadlines(lane.deadlines, y + PIECE / 2, scale, record);
  }

  /** Hollow where a deadline is planned, filled where one was dispatched. */
  #deadlines(dispatched, y, scale, record) {
    for (const one of dispatched) this.#diamond(scale.x(one.at), y, true);
    const next = record.timers.find((one) => one.at > record.now);
    if (!next) return;
    this.#diamond(LEFT + 8, y, false);
    this.#text(`next planned in ${duration(next.at - record.now)}, for ${short(next.id)}`, LEFT + 18, y, this.colours.soft);
  }

  #diamond(x, y, filled) {
    const pen = this.context;
    pen.beginPath();
    pen.moveTo(x, y - 5);
    pen.lineTo(x + 5, y);
    pen.lineTo(x, y + 5);
    pen.lineTo(x - 5, y);
    pen.closePath();
    pen.strokeStyle = pen.fillStyle = this.colours.ink;
    if (filled) pen.fill();
    else pen.stroke();
  }

  #job(job, y, scale, record) {
    const [from, to] = [scale.x(job.started), scale.x(job.finished)];
    this.#arrow(scale.x(job.submitted), TOP + ROW + PIECE, from, y);
    this.#arrow(to, y, scale.x(job.delivered), TOP + ROW + PIECE);
    this.#box(from, to, y, PIECE, this.colours.job, record.labels[job.label] || "the program");
  }

  #arrow(x0, y0, x1, y1) {
    const pen = this.context;
    const angle = Math.atan2(y1 - y0, x1 - x0);
    pen.strokeStyle = pen.fillStyle = this.colours.soft;
    pen.beginPath();
    pen.moveTo(x0, y0);
    pen.lineTo(x1, y1);
    pen.stroke();
    pen.beginPath();
    pen.moveTo(x1, y1);
    for (const turn of [2.7, -2.7]) pen.lineTo(x1 + 7 * Math.cos(angle + turn), y1 + 7 * Math.sin(angle + turn));
    pen.fill();
  }

  #dashes(x, height) {
    const pen = this.context;
    pen.save();
    pen.setLineDash([3, 3]);
    pen.strokeStyle = this.colours.soft;
    pen.beginPath();
    pen.moveTo(x, TOP);
    pen.lineTo(x, height);
    pen.stroke();
    pen.restore();
  }

  /** However short something was, it is seen. */
  #box(from, to, y, height, colour, text, isOwn = false) {
    const pen = this.context;
    const width = Math.max(1.5, to - from);
    pen.fillStyle = colour;
    pen.fillRect(from, y, width, height);
    if (isOwn) {
      pen.strokeStyle = this.colours.paper;
      pen.beginPath();
      for (let x = from; x < from + width; x += 5) {
        pen.moveTo(x, y + height);
        pen.lineTo(Math.min(x + 5, from + width), y);
      }
      pen.stroke();
    }
    if (width > 5) {
      pen.strokeStyle = this.colours.paper;
      pen.strokeRect(from, y, width, height);
    }
    if (width < 24) return;
    pen.save();
    pen.beginPath();
    pen.rect(from, y, width - 2, height);
    pen.clip();
    this.#text(text, from + 4, y + height / 2 + 1, this.colours.onWork);
    pen.restore();
  }

  #names(lanes) {
    const names = ["phases", "dispatches", ...lanes.map((lane) => lane.name)];
    for (const [row, text] of names.entries()) {
      const y = row < 2 ? TOP + row * ROW : TOP + ROW * 2 + 8 + (row - 2) * ROW;
      this.#text(text, 0, y + PIECE / 2, this.colours.soft, LEFT - 8);
    }
  }

  #text(text, x, y, colour, width = undefined) {
    this.context.fillStyle = colour;
    this.context.fillText(text, x, y, width);
  }
}

function name({ id, kind }) {
  return kind === "program" ? short(id) : `${kind} ${short(id)}`;
}

/** The colours of the style sheet, which knows light from dark. */
function colours(canvas) {
  const style = getComputedStyle(canvas);
  const of = (name) => style.getPropertyValue(name).trim();
  return {
    ink: of("--ink"), soft: of("--soft"), paper: of("--card"), here: of("--here"), sleep: of("--sleep"), work: of("--work"), job: of("--job"), slow: of("--slow"), onWork: of("--on-work"),
    phases: PHASES.map((phase) => of(`--${phase}`)), font: style.fontFamily,
  };
}
