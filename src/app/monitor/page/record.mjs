// What the page remembers of the loop, and which part of it is looked at.

export const PHASES = ["wait", "readiness", "completions", "timers", "events", "flush", "reap"];
const WAIT = 0;

const TURNS_KEPT = 2000;
const EVENTS_KEPT = 200;
const JOBS_KEPT = 500;
const SECONDS_KEPT = 60;

/** When the work of a turn ended. */
export const ended = (turn) => turn.at + worked(turn);
/** For how long a turn worked, in nanoseconds. */
export const worked = (turn) => turn.phase_ns.reduce((sum, ns, phase) => (phase === WAIT ? sum : sum + ns), 0);
/** When a phase of a turn began. The wait is before everything else. */
export function began(turn, phase) {
  if (phase === WAIT) return turn.at - turn.phase_ns[WAIT];
  return turn.phase_ns.slice(1, phase).reduce((sum, ns) => sum + ns, turn.at);
}

export class Record {
  /** Turns, oldest first; each has its `dispatches`. */
  turns = [];
  jobs = [];
  events = [];
  timers = [];
  labels = [];
  gauges = {};
  /** Turns that are not among them since they were not told, or were not kept. */
  missing = 0;
  /** The last minute, a second each: `{second, delay, slept, worked, ready, waiting}`. */
  seconds = [];
  /** The loop's clock, as told last. */
  now = 0;
  /** Dispatches of a turn that has not ended. */
  underWay = [];
  hello = { mode: "free", slow_ns: 5e6, labels: [], listen: [] };

  /** A stream begins. Of a server that was started anew, nothing that was before is true. */
  greet(hello) {
    if (hello.now_ns < this.now) {
      for (const list of [this.turns, this.jobs, this.events, this.seconds, this.underWay]) list.length = 0;
      this.missing = 0;
    }
    this.hello = hello;
    this.labels = hello.labels;
    this.now = hello.now_ns;
  }

  add(batch) {
    this.now = batch.now_ns;
    for (const [index, name] of Object.entries(batch.labels)) this.labels[index] = name;
    this.timers = batch.timers;
    this.gauges = batch.gauges;
    this.#addTurns(batch);
    this.jobs.push(...batch.jobs.filter((job) => job.delivered > (this.jobs.at(-1)?.delivered ?? -1)));
    this.events.push(...batch.events);
    drop(this.jobs, JOBS_KEPT);
    drop(this.events, EVENTS_KEPT);
  }

  #addTurns(batch) {
    const last = this.turns.at(-1);
    // What was told twice, since the stream broke, is taken once.
    const turns = batch.turns.filter((turn) => !last || turn.n > last.n);
    const known = last ? ended(last) : -1;
    const waiting = [...this.underWay, ...batch.dispatches.filter((one) => one.at >= known && one.at > (this.underWay.at(-1)?.at ?? -1))];
    let next = 0;
    for (const turn of turns) {
      turn.dispatches = [];
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
    if (this.seconds.at(-1)?.second !== second) this.seconds.push({ second, delay: 0, slept: 0, worked: 0, ready: 0, waiting: 0 });
    const bucket = this.seconds.at(-1);
    bucket.delay = Math.max(bucket.delay, worked(turn));
    bucket.worked += worked(turn);
    bucket.slept += turn.phase_ns[WAIT];
    bucket.ready = Math.max(bucket.ready, turn.counts[WAIT]);
    bucket.waiting = Math.max(bucket.waiting, this.gauges.jobs_waiting ?? 0);
    while (this.seconds[0].second < second - SECONDS_KEPT) this.seconds.shift();
  }

  /** Turns to look at: with what was done for this page, or without. */
  shown(withOwn) {
    return withOwn ? this.turns : this.turns.filter((turn) => !turn.observer).map((turn) => turn.others);
  }
}

/** A place in what is shown: a turn by its number, and a phase. Moving it finds the nearest there is. */
export class Place {
  constructor(turn = undefined, phase = 1) {
    this.turn = turn;
    this.phase = phase;
  }

  index(turns) {
    const at = turns.findIndex((turn) => turn.n >= this.turn);
    return at < 0 ? turns.length - 1 : at;
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

/** A turn as if nobody had watched; most are so anyway. */
function withoutOwn(turn) {
  if (!turn.dispatches.some((one) => one.observer)) return turn;
  return { ...turn, dispatches: turn.dispatches.filter((one) => !one.observer) };
}

/** A source's name for people: its slot, and which one it is that has had that slot, unless it is the first. */
export function short(id) {
  const [slot, generation] = [BigInt(id) & 0xffffffffn, BigInt(id) >> 32n];
  if (generation === 0n) return "the program";
  return generation === 1n ? String(slot) : `${slot}.${generation}`;
}

function drop(list, kept) {
  if (list.length > kept) list.splice(0, list.length - kept);
}
