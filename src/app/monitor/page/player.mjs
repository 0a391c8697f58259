// Plays what was recorded, slowly: microseconds are too short for eyes.

import { PHASES } from "./record.mjs";

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
