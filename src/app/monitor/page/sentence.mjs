// Why the loop slept, and why it woke, in a sentence. Only what is known: the kernel does not say when a descriptor
// became ready, and a worker wakes the loop without being named.

import { count, duration } from "./time.mjs";
import { called, worked } from "./record.mjs";

const NAMED = 3;

/** Says it of one turn, as a record has it; `halts` where the loop is made to stand between its phases. */
export function sentence(turn, halts = false) {
  return `Turn ${turn.n}: ${sleep(turn)}, ${waking(turn)}. ${work(turn, halts)}`;
}

function sleep({ phase_ns: [slept], timeout_ns: timeout }) {
  if (timeout === 0) return "the loop did not sleep, since somebody still had something to do";
  if (timeout === null) return `the loop slept for ${duration(slept)}, with no deadline ahead`;
  return `the loop slept for ${duration(slept)} of at most ${duration(timeout)}, until the next deadline`;
}

function waking(turn) {
  const [ready, dispatched, completions, deadlines] = turn.counts;
  const reasons = [];
  // Which of those that were dispatched had been ready, and which were asked again, is not told.
  if (ready > 0) reasons.push(`${count(ready, "source was", "sources were")} ready${dispatched > ready ? "" : who(turn, 1)}`);
  if (completions > 0) reasons.push(`${count(completions, "result")} came from workers${who(turn, 2)}`);
  if (deadlines > 0) reasons.push(`${count(deadlines, "deadline")} had come${who(turn, 3)}`);
  const verb = turn.timeout_ns === 0 ? "and found" : "and woke because";
  if (reasons.length > 0) return turn.timeout_ns === 0 ? `${verb} that ${list(reasons)}` : `${verb} ${list(reasons)}`;
  if (turn.timeout_ns === 0) return "and nothing new had come";
  if (turn.timeout_ns !== null && turn.phase_ns[0] >= 0.99 * turn.timeout_ns) return "and woke for a deadline that had been moved meanwhile";
  return "and was woken without anything to do: a signal, or a worker whose result was taken already";
}

/** What was dispatched in a phase, by name; the longest first, what is hidden last. */
function who(turn, phase) {
  const those = turn.dispatches.filter((one) => one.phase === phase).sort((a, b) => b.ns - a.ns);
  const names = [...new Set(those.map((one) => (one.name === one.kindName ? called(one) : `${called(one)}, ${one.name}`)))];
  if (turn.own?.has(phase)) names.push("the page’s own");
  if (names.length === 0) return "";
  const more = names.length > NAMED ? "; and others" : "";
  return ` (${names.slice(0, NAMED).join("; ")}${more})`;
}

function work(turn, halts) {
  const total = worked(turn);
  const again = turn.counts[1] - turn.counts[0];
  const done = [];
  if (again > 0) done.push(`${count(again, "source")} asked again`);
  if (turn.counts[4] > 0) done.push(`${count(turn.counts[4], "event or message", "events or messages")} delivered`);
  if (turn.counts[5] > 0) done.push(`${count(turn.counts[5], "outbox", "outboxes")} written`);
  if (turn.counts[6] > 0) done.push(`${count(turn.counts[6], "source")} freed`);
  const longest = turn.dispatches.reduce((most, one) => (one.ns > (most?.ns ?? 0) ? one : most), undefined);
  const mostly = longest && longest.ns > total / 2 ? `, most of it on ${longest.name}` : "";
  const took = halts ? `It took ${duration(total)}, halts between its phases included` : `It worked for ${duration(total)}`;
  return `${took}${mostly}${done.length > 0 ? `: ${list(done)}` : ""}.`;
}

function list(parts) {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}`;
}
