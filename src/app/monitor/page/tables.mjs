// Everything that the drawings show, as tables; and what they do not: sources and events.

import { PHASES, short, worked } from "./record.mjs";
import { bytes, clock, count, duration } from "./time.mjs";

const ROWS = 200;
const TURNS = 100;
const THEN = { wait: "waits", again: "asks again: its budget ran out", close: "ended", continued: "went on under another name" };

/** Rows that are there, by what they are about: those that stay are not made again, and keep the focus. */
const made = new WeakMap();

/** Gives `body` a row for each of `items`: `make` makes one, `update` tells it what may have changed. */
function fill(body, items, key, make, update = () => {}) {
  const before = made.get(body) ?? new Map();
  const rows = new Map(items.map((item) => [key(item), before.get(key(item)) ?? make(item)]));
  for (const item of items) update(rows.get(key(item)), item);
  let place = body.firstChild;
  for (const row of rows.values()) {
    if (row === place) place = place.nextSibling;
    else body.insertBefore(row, place);
  }
  while (place) {
    const after = place.nextSibling;
    place.remove();
    place = after;
  }
  made.set(body, rows);
}

const itself = (item) => item;

function row(cells, data = {}) {
  const row = document.createElement("tr");
  Object.assign(row.dataset, data);
  for (const content of cells) {
    const cell = document.createElement("td");
    cell.append(content);
    row.append(cell);
  }
  return row;
}

/** A turn's number, to look at it. */
function link(number, look) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link";
  button.textContent = number;
  button.setAttribute("aria-label", `Look at turn ${number}`);
  button.addEventListener("click", () => look(number));
  return button;
}

function dispatchRow(dispatch, slow_ns, before) {
  const isSlow = dispatch.ns > slow_ns;
  const cells = [
    ...before, PHASES[dispatch.phase], dispatch.observer ? `${dispatch.name} (this page)` : dispatch.name, short(dispatch.id),
    isSlow ? `${duration(dispatch.ns)} – slow` : duration(dispatch.ns), THEN[dispatch.outcome] ?? dispatch.outcome,
  ];
  const made = row(cells, { turn: dispatch.turn ?? "", ns: dispatch.ns, label: dispatch.name, source: dispatch.id });
  made.classList.toggle("slow", isSlow);
  return made;
}

/** What was done in a turn; `phase` is the one that is looked at. */
export function showSelected(body, turn, phase, slow_ns) {
  const make = (one) => dispatchRow(one, slow_ns, [turn.at === undefined ? "–" : `+${duration(one.at - turn.at)}`]);
  const nothing = turn?.untold ? "too much happened at once: what it dispatched was not told" : "nothing was dispatched in it";
  const items = turn?.dispatches.length > 0 ? turn.dispatches : [nothing];
  // What is under way belongs to no turn yet, and will: then it has another row.
  const key = (one) => (turn?.at === undefined ? `under way ${one.at}` : one);
  fill(body, items, key, (one) => (one === nothing ? row(["", "", nothing, "", "", ""]) : make(one)), (made, one) => made.classList.toggle("here", one.phase === phase));
}

/** The newest dispatches. */
export function showDispatches(body, record, turns, look) {
  const newest = [];
  for (let at = turns.length - 1; at >= 0 && newest.length < ROWS; at -= 1) newest.push(...turns[at].dispatches.slice().reverse());
  fill(body, newest.slice(0, ROWS), itself, (one) => dispatchRow(one, record.hello.slow_ns, [link(one.turn, look), clock(record.unixMs(one.at))]));
}

/** The newest turns, and where some between them are not known. */
export function showTurns(body, record, turns, selected, look) {
  const items = turns.slice(-TURNS).reverse().flatMap((turn) => (turn.gap > 0 ? [turn, `${count(turn.gap, "turn")} before turn ${turn.n}: not told`] : [turn]));
  const make = (turn) => {
    if (typeof turn === "string") return row(["…", "", "", "", turn]);
    const slept = turn.phase_ns[0] > 0 ? duration(turn.phase_ns[0]) : "not at all";
    return row([link(turn.n, look), clock(record.unixMs(turn.at)), slept, duration(worked(turn)), woken(turn)], { turn: turn.n });
  };
  fill(body, items, (turn) => turn.n ?? turn, make, (made, turn) => {
    made.classList.toggle("here", turn.n === selected);
    if (turn.n === selected) made.setAttribute("aria-current", "true");
    else made.removeAttribute("aria-current");
  });
}

function woken({ counts: [ready, , completions, deadlines], timeout_ns, observer }) {
  const by = [];
  if (ready > 0) by.push(count(ready, "source"));
  if (completions > 0) by.push(count(completions, "result"));
  if (deadlines > 0) by.push(count(deadlines, "deadline"));
  if (by.length === 0) by.push(timeout_ns === 0 ? "work left over" : "nothing to do");
  return observer ? `${by.join(", ")} (this page’s)` : by.join(", ");
}

const ms = (time) => (time === null ? "–" : duration(time * 1e6));

/** Lists sources; `end` is called with the id of a connection that is to be ended. */
export function showSources(body, sources, end) {
  const texts = (one) => [
    short(one.id), one.observer ? `${one.kind} (this page’s)` : one.kind, one.peer ?? "–", one.user ?? "–", one.state, ms(one.age_ms), ms(one.idle_ms),
    bytes(one.bytes_in), bytes(one.bytes_out), bytes(one.outbox), one.request ?? "–",
  ];
  const make = (one) => row([...texts(one), one.peer && !one.observer && end ? ending(one, end) : ""], { id: one.id });
  fill(body, sources, (one) => one.id, make, (made, one) => {
    for (const [at, text] of texts(one).entries()) {
      if (made.cells[at].textContent !== text) made.cells[at].textContent = text;
    }
  });
}

/** Asks again before it ends anything. */
function ending({ id, peer }, end) {
  const button = document.createElement("button");
  const ask = (isSure) => {
    button.dataset.sure = isSure;
    button.textContent = isSure ? "Really end?" : "End";
    button.setAttribute("aria-label", `${isSure ? "Really end" : "End"} connection ${short(id)} of ${peer}${isSure ? "?" : ""}`);
  };
  button.type = "button";
  button.addEventListener("click", () => (button.dataset.sure === "true" ? end(id) : ask(true)));
  button.addEventListener("blur", () => ask(false));
  ask(false);
  return button;
}

export function showEvents(list, events) {
  fill(list, events.slice().reverse(), itself, (event) => {
    const item = document.createElement("li");
    item.dataset.id = event.id;
    const time = document.createElement("time");
    time.dateTime = new Date(event.unix_ms).toISOString();
    time.textContent = clock(event.unix_ms);
    const name = document.createElement("strong");
    name.textContent = event.name;
    item.append(time, name, ` from ${event.sender}, number ${event.id}`);
    return item;
  });
}
