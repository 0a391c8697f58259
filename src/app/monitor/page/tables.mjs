// Everything that the drawings show, as tables; and what they do not: sources and events.

import { PHASES, short, worked } from "./record.mjs";
import { bytes, count, duration } from "./time.mjs";

const ROWS = 200;
const TURNS = 100;
const THEN = { wait: "waits", again: "asks again: its budget ran out", close: "ended", continued: "went on under another name" };

function row(cells, data = {}) {
  const made = document.createElement("tr");
  Object.assign(made.dataset, data);
  for (const content of cells) {
    const cell = document.createElement("td");
    cell.append(content);
    made.append(cell);
  }
  return made;
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

function took(dispatch, slow_ns) {
  return dispatch.ns > slow_ns ? `${duration(dispatch.ns)} – slow` : duration(dispatch.ns);
}

function dispatchRow(dispatch, slow_ns, before) {
  const made = row(
    [...before, PHASES[dispatch.phase], dispatch.observer ? `${dispatch.name} (this page)` : dispatch.name, short(dispatch.id), took(dispatch, slow_ns), THEN[dispatch.outcome] ?? dispatch.outcome],
    { turn: dispatch.turn ?? "", ns: dispatch.ns, label: dispatch.name, source: dispatch.id },
  );
  made.classList.toggle("slow", dispatch.ns > slow_ns);
  return made;
}

export function showSelected(body, turn, phase, slow_ns) {
  const rows = (turn?.dispatches ?? []).map((one) => {
    const made = dispatchRow(one, slow_ns, []);
    made.classList.toggle("here", one.phase === phase);
    return made;
  });
  body.replaceChildren(...(rows.length > 0 ? rows : [row(["", "nothing was dispatched in it, or nothing is known any more", "", "", ""])]));
}

export function showDispatches(body, turns, slow_ns, look) {
  const rows = [];
  for (let at = turns.length - 1; at >= 0 && rows.length < ROWS; at -= 1) {
    for (const one of turns[at].dispatches.slice().reverse()) rows.push(dispatchRow(one, slow_ns, [link(one.turn, look)]));
  }
  body.replaceChildren(...rows.slice(0, ROWS));
}

export function showTurns(body, turns, look) {
  const rows = turns.slice(-TURNS).reverse().flatMap((turn) => {
    const made = row([link(turn.n, look), turn.phase_ns[0] > 0 ? duration(turn.phase_ns[0]) : "not at all", duration(worked(turn)), woken(turn)], { turn: turn.n });
    if (!(turn.gap > 0)) return [made];
    return [made, row(["", "", "", `${count(turn.gap, "turn")} before it: not told`])];
  });
  body.replaceChildren(...rows);
}

function woken({ counts: [ready, , completions, deadlines], timeout_ns }) {
  const by = [];
  if (ready > 0) by.push(count(ready, "source"));
  if (completions > 0) by.push(count(completions, "result"));
  if (deadlines > 0) by.push(count(deadlines, "deadline"));
  if (by.length === 0) by.push(timeout_ns === 0 ? "work left over" : "nothing to do");
  return by.join(", ");
}

/** Lists sources; `end` is called with the id of a connection that is to be ended. */
export function showSources(body, sources, withOwn, end) {
  const shown = sources.filter((one) => withOwn || !one.observer);
  const ms = (time) => (time === null ? "–" : duration(time * 1e6));
  body.replaceChildren(...shown.map((one) => row([
    short(one.id), one.observer ? `${one.kind} (this page’s)` : one.kind, one.peer ?? "–", one.user ?? "–", one.state, ms(one.age_ms),
    bytes(one.bytes_in), bytes(one.bytes_out), bytes(one.outbox), one.request ?? "–", one.peer && !one.observer && end ? ending(one, end) : "",
  ], { id: one.id })));
}

/** Asks again before it ends anything. */
function ending({ id, peer }, end) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "End";
  button.setAttribute("aria-label", `End connection ${short(id)} of ${peer}`);
  button.addEventListener("click", () => {
    if (button.dataset.sure) return end(id);
    button.dataset.sure = "asked";
    button.textContent = "Really end?";
    button.setAttribute("aria-label", `Really end connection ${short(id)} of ${peer}?`);
  });
  button.addEventListener("blur", () => {
    delete button.dataset.sure;
    button.textContent = "End";
  });
  return button;
}

export function showEvents(list, events) {
  list.replaceChildren(...events.slice().reverse().map((event) => {
    const item = document.createElement("li");
    item.dataset.id = event.id;
    const time = document.createElement("time");
    time.dateTime = new Date(event.unix_ms).toISOString();
    time.textContent = new Date(event.unix_ms).toLocaleTimeString();
    const name = document.createElement("strong");
    name.textContent = event.name;
    item.append(time, name, ` from ${event.sender}, number ${event.id}`);
    return item;
  }));
}
