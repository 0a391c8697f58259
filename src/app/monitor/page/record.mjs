// What the page remembers of the loop, and which part of it is looked at.

export const PHASES = ["wait", "readiness", "completions", "timers", "events", "flush", "reap"];
const WAIT = 0;

const TURNS_KEPT = 2000;
const EVENTS_KEPT = 200;
const JOBS_KEPT = 500;
const DEADLINES_KEPT = 200;
const SECONDS_KEPT = 60;
/** By how much two readings of when the loop's clock began may differ, in milliseconds, and be of the same server. */
const SAME_START_MS = 2000;

/** When the work of a turn ended. */
export const ended = (turn) => turn.at + worked(turn);
/** For how long a turn worked, in nanoseconds. */
export const worked = (turn) => turn.phase_ns.reduce((sum, ns, phase) => (phase === WAIT ? sum : sum + ns), 0);
/** When a phase of a turn began. The wait is before everything else. */
export function began(turn, phase) {
  if (phase === WAIT) return turn.at - turn.phase_ns[WAIT];
  return turn.phase_ns.slice(1, phase).reduce((sum, ns) => sum + ns, turn.at);
}

/** What a record has that is added to as time goes by. */
const LISTS = ["turns", "jobs", "events", "planned", "seconds", "underWay"];

export class Record {
  /** Turns, oldest first; each has its `dispatches`. */
  turns = [];
  jobs = [];
  events = [];
  /** The next deadlines, nearest first; and those that were planned for moments that have passed. */
  timers = [];
  planned = [];
  labels = [];
  gauges = {};
  /** Turns that are not among them since they were not told, or were not kept. */
  missing = 0;
  /** The last minute, a second each: `{second, delay, slept, worked, ready, waiting, pending}`. */
  seconds = [];
  /** The loop's clock, as told last. */
  now = 0;
  /** Dispatches of a turn that has not ended. */
  underWay = [];
  hello = { mode: "free", slow_ns: 5e6, labels: [], listen: [], now_ns: 0, unix_ms: 0 };
  /** Turns without the page's own, until there are more. */
  #others = undefined;

  /** A stream begins. Of a server that was started anew, nothing that was before is true; whether it was is answered. */
  greet(hello) {
    const isAnother = hello.now_ns < this.now || (this.now > 0 && Math.abs(started(hello) - started(this.hello)) > SAME_START_MS);
    if (isAnother) {
      for (const list of LISTS) this[list] = [];
      this.timers = [];
      this.missing = 0;
      this.#others = undefined;
    }
    this.hello = hello;
    this.labels = hello.labels;
    this.now = hello.now_ns;
    return isAnother;
  }

  add(batch) {
    this.now = batch.now_ns;
    for (const [index, name] of Object.entries(batch.labels)) this.labels[index] = name;
    this.#plan(batch.timers);
    this.gauges = batch.gauges;
    this.#addTurns(batch);
    this.jobs.push(...batch.jobs.filter((job) => job.delivered > (this.jobs.at(-1)?.delivered ?? -1)));
    this.events.push(...batch.events);
    drop(this.jobs, JOBS_KEPT);
    drop(this.events, EVENTS_KEPT);
    this.#others = undefined;
  }

  /** What there is now, to be looked at while the loop goes on: nothing is added to it any more. */
  still() {
    const still = Object.assign(new Record(), this);
    for (const list of [...LISTS, "labels"]) still[list] = [...this[list]];
    return still;
  }

  /** A moment of the loop's clock, as milliseconds since 1970. */
  unixMs(at) {
    return started(this.hello) + at / 1e6;
  }

  /** Of deadlines that are not ahead any more, when they were planned for is remembered. */
  #plan(timers) {
    const isAhead = (one) => timers.some(({ id, at }) => id === one.id && at === one.at);
    this.planned.push(...this.timers.filter((one) => one.at <= this.now && !isAhead(one)));
    this.timers = timers;
    drop(this.planned, DEADLINES_KEPT);
  }

  #addTurns(batch) {
    const last = this.turns.at(-1);
    // What was told twice, since the stream broke, is taken once.
    const turns = batch.turns.filter((turn) => !last || turn.n > last.n);
    const known = last ? ended(last) : -1;
    const waiting = [...this.underWay, ...batch.dispatches.filter((one) => one.at >= known && one.at > (this.underWay.at(-1)?.at ?? -1))];
    // A batch has the newest dispatches: what turns before them did was not told.
    const told = batch.skipped?.dispatches > 0 ? (batch.dispatches[0]?.at ?? Infinity) : -1;
    let next = 0;
    for (const turn of turns) {
      turn.dispatches = [];
      turn.untold = turn.at < told;
      while (next < waiting.length && waiting[next].at < turn.at) next += 1;
      for (const end = ended(turn); next < waiting.length && waiting[next].at < end; next += 1) turn.dispatches.push(this.#named(waiting[next], turn.n));
      const before = this.turns.at(-1);
      turn.gap = before ? turn.n - before.n - 1 : 0;
      this.missing += turn.gap;
      turn.others = withoutOwn(turn);
      this.turns.push(turn);
      this.#count(turn);
    }
    this.underWay = waiting.slice(next).map((one) => this.#named(one, undefined));
    drop(this.turns, TURNS_KEPT);
  }

  #named(dispatch, turn) {
    const kind = this.labels[dispatch.kind] ?? "";
    return Object.assign(dispatch, { turn, kindName: kind, name: this.labels[dispatch.label] || kind });
  }

  #count(turn) {
    const second = Math.floor(turn.at / 1e9);
    if (this.seconds.at(-1)?.second !== second) this.seconds.push({ second, delay: 0, slept: 0, worked: 0, ready: 0, waiting: 0, pending: 0 });
    const bucket = this.seconds.at(-1);
    bucket.delay = Math.max(bucket.delay, worked(turn));
    bucket.worked += worked(turn);
    bucket.slept += turn.phase_ns[WAIT];
    bucket.ready = Math.max(bucket.ready, turn.counts[WAIT]);
    bucket.waiting = Math.max(bucket.waiting, this.gauges.jobs_waiting ?? 0);
    bucket.pending = Math.max(bucket.pending, this.gauges.pending ?? 0);
    while (this.seconds[0].second < second - SECONDS_KEPT) this.seconds.shift();
  }

  /** Turns to look at: with what was done for this page, or without. */
  shown(withOwn) {
    if (withOwn) return this.turns;
    this.#others ??= this.#withoutOwn();
    return this.#others;
  }

  #withoutOwn() {
    let hidden = 0;
    const shown = [];
    for (const turn of this.turns) {
      // A gap before a turn that is not shown is one before the next that is.
      hidden += turn.observer ? turn.gap : 0;
      if (turn.observer) continue;
      shown.push(hidden > 0 ? { ...turn.others, gap: turn.gap + hidden } : turn.others);
      hidden = 0;
    }
    return shown;
  }
}

/** A place in what is shown: a turn by its number, and a phase. Moving it finds the nearest there is. */
export class Place {
  constructor(turn = undefined, phase = 1) {
    this.turn = turn;
    this.phase = phase;
  }

  index(turns) {
    let [low, high] = [0, turns.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (turns[middle].n < this.turn) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, turns.length - 1);
  }

  find(turns) {
    return turns[this.index(turns)];
  }

  /** The first phase after `wait` in which the turn had something to do. */
  static at(turn) {
    const busy = turn.counts.findIndex((number, phase) => phase > WAIT && number > 0);
    return new Place(turn.n, busy < 0 ? WAIT : busy);
  }

  byTurn(turns, step) {
    const turn = turns[this.index(turns) + step];
    return turn ? Place.at(turn) : this;
  }

  byPhase(turns, step) {
    const index = this.index(turns);
    const phase = this.phase + step;
    if (turns[index] && phase >= 0 && phase < PHASES.length) return new Place(turns[index].n, phase);
    const turn = turns[index + step];
    return turn ? new Place(turn.n, step > 0 ? 0 : PHASES.length - 1) : this;
  }
}

/** A turn without what was done for the page in it; most are so anyway. In which phases that was, `own` says: a turn's
 * counts are of everything. */
function withoutOwn(turn) {
  const own = turn.dispatches.filter((one) => one.observer);
  if (own.length === 0) return turn;
  return { ...turn, dispatches: turn.dispatches.filter((one) => !one.observer), own: new Set(own.map((one) => one.phase)) };
}

/** What a source is called: `connection 17`. */
export const called = ({ id, kindName }) => (kindName === "program" ? short(id) : `${kindName} ${short(id)}`);

/** A source's number for people: its slot, and which one it is that has had that slot, unless it is the first. */
export function short(id) {
  const [slot, generation] = [BigInt(id) & 0xffffffffn, BigInt(id) >> 32n];
  if (generation === 0n) return "the program";
  return generation === 1n ? String(slot) : `${slot}.${generation}`;
}

/** When the loop's clock began, as milliseconds since 1970. */
const started = ({ unix_ms, now_ns }) => unix_ms - now_ns / 1e6;

function drop(list, kept) {
  if (list.length > kept) list.splice(0, list.length - kept);
}
