// Plays what was recorded, slowly: microseconds are too short for eyes.

import { PHASES, began } from "./record.mjs";

/** A sleep is shown for so long at most, in milliseconds: nobody wants to watch a second of nothing for a day. */
export const SLEEP_SHOWN_MS = 500;
/** And nothing for longer than this. */
const PHASE_SHOWN_MS = 5000;

/** For how many milliseconds a phase of a turn is shown at `1/slowness` of real speed. */
export function shownFor(turn, phase, slowness) {
  const ms = (turn.phase_ns[phase] * slowness) / 1e6;
  return Math.min(ms, PHASES[phase] === "wait" ? SLEEP_SHOWN_MS : PHASE_SHOWN_MS);
}

/** The next place that is worth a look; nothing at the end. Phases without anything to do are passed over. */
export function next(place, turns) {
  for (let at = place; ;) {
    const after = at.byPhase(turns, 1);
    if (after === at) return undefined;
    const turn = after.find(turns);
    if (after.phase === 0 ? turn.phase_ns[0] > 0 : turn.counts[after.phase] > 0) return after;
    at = after;
  }
}

/** A walk along what was recorded, from a place to the end. */
export class Player {
  /** How much of the phase at which it is has been shown. */
  #shownMs = 0;

  constructor(turns, place, slowness) {
    this.turns = turns;
    this.place = place;
    this.slowness = slowness;
  }

  #phaseMs() {
    return shownFor(this.place.find(this.turns), this.place.phase, this.slowness);
  }

  /** Goes on for so many milliseconds of viewing; whether there is more to come. */
  advance(ms) {
    this.#shownMs += ms;
    for (let phaseMs = this.#phaseMs(); this.#shownMs >= phaseMs; phaseMs = this.#phaseMs()) {
      const after = next(this.place, this.turns);
      if (!after) return false;
      this.#shownMs -= phaseMs;
      this.place = after;
    }
    return true;
  }

  /** Whoever changes the speed stays where they are. */
  changeSpeed(slowness) {
    const share = this.#shownMs / (this.#phaseMs() || 1);
    this.slowness = slowness;
    this.#shownMs = share * this.#phaseMs();
  }

  /** The moment at which it is, on the loop's clock. */
  get moment() {
    const turn = this.place.find(this.turns);
    const share = Math.min(1, this.#shownMs / (this.#phaseMs() || 1));
    return began(turn, this.place.phase) + share * turn.phase_ns[this.place.phase];
  }
}
