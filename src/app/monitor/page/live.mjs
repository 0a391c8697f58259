// The live page: what the loop does, while it does it. `feed` brings it, `record` remembers it, the others show it.

import { follow } from "./feed.mjs";
import { Lanes } from "./lanes.mjs";
import { next, shownFor, SLEEP_SHOWN_MS } from "./player.mjs";
import { PHASES, Place, Record, short } from "./record.mjs";
import { Ring } from "./ring.mjs";
import { sentence } from "./sentence.mjs";
import { Strips } from "./strips.mjs";
import { showDispatches, showEvents, showSelected, showSources, showTurns } from "./tables.mjs";
import { count, duration } from "./time.mjs";

const $ = (id) => document.getElementById(id);
const record = new Record();
const ring = new Ring($("ring"));
const lanes = new Lanes($("lanes"));
const strips = new Strips($("strips"));

/** Whoever does not want motion is shown what is new once a second. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const TABLES_EVERY_MS = 250;
const CALM_EVERY_MS = 1000;
const SOURCES_EVERY_MS = 1000;
const SPEEDS = ["10", "100", "1000", "10000"];

const view = {
  /** `live`, `frozen` or `playback`. */
  mode: "live",
  place: new Place(),
  /** What was there when it was frozen: what comes after is kept, and not shown. */
  until: Infinity,
  zoom: 24,
  sources: [],
  /** Where a loop is that is slowed down: `{turn, before}` or `{turn, asleep}`; nothing while it runs. */
  stands: undefined,
};

/** Turns that can be looked at. */
function turns() {
  const shown = record.shown($("show-own").checked);
  return view.until === Infinity ? shown : shown.filter((turn) => turn.n <= view.until);
}

// Drawing: never more often than the screen, and not at all where nobody sees it.

let asked = false;
let drawn = 0;
let tabled = 0;
let late;

function draw() {
  if (asked || document.hidden) return;
  asked = true;
  const pause = calm.matches && view.mode === "live" ? CALM_EVERY_MS - (performance.now() - drawn) : 0;
  setTimeout(() => requestAnimationFrame(paint), Math.max(0, pause));
}

function paint() {
  asked = false;
  drawn = performance.now();
  const shown = turns();
  if (view.mode === "live" && shown.length > 0) view.place = Place.at(shown.at(-1));
  const turn = shown.length > 0 ? view.place.find(shown) : undefined;
  const stands = view.mode === "live" ? view.stands : undefined;
  const phase = stands ? Math.max(0, PHASES.indexOf(stands.before)) : view.place.phase;
  const number = stands ? stands.turn : turn?.n;
  const ofTurn = stands && turn?.n !== stands.turn ? undefined : turn;
  document.body.dataset.mode = modeName();
  $("mode").textContent = modeName();
  $("turn-number").textContent = number ?? "–";
  $("phase-name").textContent = stands && !stands.asleep ? `before ${PHASES[phase]}` : PHASES[phase];
  if (turn) $("sentence").textContent = sentence(turn);
  ring.show(ofTurn, phase, number);
  lanes.show({ turns: inPicture(shown), record, place: view.place, fold: $("fold").checked, slow_ns: record.hello.slow_ns });
  buttons(shown);
  if (view.mode === "live" && performance.now() - tabled < TABLES_EVERY_MS) {
    // Tables are for reading: they need not keep up with the screen.
    clearTimeout(late);
    late = setTimeout(draw, TABLES_EVERY_MS);
    return;
  }
  tabled = performance.now();
  tables(shown, ofTurn ?? (stands ? { dispatches: record.underWay } : undefined), phase, number);
}

function tables(shown, turn, phase, number) {
  const { slow_ns } = record.hello;
  $("selected-turn").textContent = number ?? "–";
  showSelected($("selected-rows"), turn, phase, slow_ns);
  // A button that has the focus is not taken away.
  if (!$("dispatch-rows").contains(document.activeElement)) showDispatches($("dispatch-rows"), shown, slow_ns, look);
  if (!$("turn-rows").contains(document.activeElement)) showTurns($("turn-rows"), shown, look);
  strips.show(record.seconds, record.now);
  showEvents($("event-rows"), record.events);
  sourcesTable();
}

function sourcesTable() {
  if ($("source-rows").contains(document.activeElement)) return;
  const shown = view.sources.filter((one) => $("show-own").checked || !one.observer);
  $("source-count").textContent = `(${shown.length})`;
  showSources($("source-rows"), view.sources, $("show-own").checked, record.hello.mode === "free" ? end : undefined);
}

/** The turns in the picture: with the one that is looked at among them, towards the right. */
function inPicture(shown) {
  const at = shown.length > 0 ? view.place.index(shown) : 0;
  const last = view.mode === "live" ? shown.length : Math.min(shown.length, at + 1 + Math.floor(view.zoom / 3));
  return shown.slice(Math.max(0, last - view.zoom), last);
}

function modeName() {
  if (view.mode !== "live" || record.hello.mode !== "gate") return view.mode;
  if (!view.stands) return "running";
  return view.stands.asleep ? "asleep" : "halted";
}

function buttons(shown) {
  const at = shown.length > 0 ? view.place.index(shown) : 0;
  $("freeze").textContent = view.mode === "live" ? "Freeze" : "Follow again";
  $("play").textContent = view.mode === "playback" ? "Stop" : "Play";
  $("previous-turn").disabled = $("previous-phase").disabled = at <= 0;
  $("next-turn").disabled = view.mode === "live" || at >= shown.length - 1;
  $("next-phase").disabled = view.mode === "live";
  $("scale").textContent = $("fold").checked
    ? "Sleeps are shortened, and have their length written; a turn that took ten times as long is a little wider; within a turn time is true."
    : "Time is true: what is short is thin.";
}

/** For those who do not see the picture: what they did, and what came of it. */
function say(text) {
  $("said").textContent = text;
}

// Live, frozen, playback.

function freeze() {
  if (view.mode !== "live") return;
  const shown = turns();
  view.mode = "frozen";
  view.until = shown.at(-1)?.n ?? 0;
  draw();
}

function liveAgain() {
  stop();
  view.mode = "live";
  view.until = Infinity;
  say("Following the loop.");
  draw();
}

function go(place) {
  freeze();
  stop();
  view.place = place;
  tabled = 0;
  draw();
  const turn = place.find(turns());
  if (turn) say(`Turn ${turn.n}, ${PHASES[place.phase]}: ${duration(turn.phase_ns[place.phase])}`);
}

function look(number) {
  const turn = turns().find((one) => one.n === number);
  if (turn) go(Place.at(turn));
}

let playing;

function play() {
  freeze();
  view.mode = "playback";
  const shown = turns();
  // From the end there is nothing to play: from the beginning of what is in the picture, then.
  if (!next(view.place, shown) && shown.length > 0) view.place = new Place(inPicture(shown)[0].n, 0);
  say(`Playing at 1/${$("speed").selectedOptions[0].value} of real speed; no sleep is shown for longer than ${SLEEP_SHOWN_MS} ms.`);
  step();
}

function step() {
  const shown = turns();
  const turn = view.place.find(shown);
  draw();
  playing = setTimeout(() => {
    const after = next(view.place, shown);
    if (!after) {
      stop();
      say("That was the last turn.");
      return draw();
    }
    view.place = after;
    return step();
  }, turn ? shownFor(turn, view.place.phase, Number($("speed").value)) : 0);
}

function stop() {
  clearTimeout(playing);
  if (view.mode === "playback") view.mode = "frozen";
}

function speed(by) {
  const at = SPEEDS.indexOf($("speed").value) + by;
  if (SPEEDS[at]) $("speed").value = SPEEDS[at];
}

function zoom(factor) {
  view.zoom = Math.min(400, Math.max(3, Math.round(view.zoom * factor)));
  say(`${count(view.zoom, "turn")} in the picture.`);
  draw();
}

// What the server is asked, apart from the stream: its sources, after something has happened; and to go on.

let sourcesAsked = -Infinity;
let sourcesLater;

function askForSources() {
  if (document.hidden || view.mode !== "live" || sourcesLater) return;
  sourcesLater = setTimeout(async () => {
    sourcesAsked = performance.now();
    try {
      const response = await fetch("/ps", { headers: { Accept: "application/json" } });
      if (response.ok) view.sources = (await response.json()).sources;
    } catch {
      // The stream tells that the server cannot be reached.
    }
    sourcesLater = undefined;
    sourcesTable();
  }, Math.max(0, sourcesAsked + SOURCES_EVERY_MS - performance.now()));
}

async function end(id) {
  const response = await fetch(`/ps/${id}`, { method: "DELETE" });
  say(response.ok ? `Connection ${short(id)} has ended.` : (await response.json()).detail);
  document.activeElement?.blur();
}

async function gate(step) {
  if (record.hello.mode !== "gate") return;
  if (view.mode !== "live") liveAgain();
  const response = await fetch("/gate", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ step }) });
  if (!response.ok) return say((await response.json()).detail);
  // A loop that sleeps tells so when it wakes.
  return step === "run" ? runs() : undefined;
}

function runs() {
  view.stands = undefined;
  say("The loop runs.");
  draw();
}

follow(record, {
  changed(begins) {
    if (begins) banner();
    draw();
    if (!begins) askForSources();
  },
  halted(halted) {
    view.stands = halted;
    if (halted.for_ms === null) say(`The loop halts in turn ${halted.turn}, before ${halted.before}.`);
    tabled = 0;
    draw();
  },
  sleeps({ turn }) {
    view.stands = { turn, asleep: true };
    tabled = 0;
    draw();
  },
  resumed: runs,
  state(text) {
    $("connection-state").textContent = text;
  },
});

function banner() {
  const { mode, slow_turn_ms, listen, version } = record.hello;
  view.stands = undefined;
  $("listen").textContent = `loopgate ${version} on ${listen.join(", ")}`;
  $("gate").hidden = mode !== "gate";
  $("banner").hidden = mode === "free";
  if (mode === "slow") $("banner").textContent = `Slowed down: the loop really sleeps for ${slow_turn_ms} ms before each phase. Everybody waits, and what is due comes late.`;
  if (mode === "gate") $("banner").textContent = "At the gate: the loop halts before each phase, and goes on when you say so. Until then nobody is answered.";
}

// Controls. Every key has a button.

const toggle = () => (view.mode === "live" ? freeze() : liveAgain());
const turnBy = (step) => () => go(view.place.byTurn(turns(), step));
const phaseBy = (step) => () => go(view.place.byPhase(turns(), step));
const playOrStop = () => {
  if (view.mode !== "playback") return play();
  stop();
  return draw();
};
const controls = {
  freeze: toggle, "previous-turn": turnBy(-1), "next-turn": turnBy(1), "previous-phase": phaseBy(-1), "next-phase": phaseBy(1), play: playOrStop,
  "zoom-out": () => zoom(1.5), "zoom-in": () => zoom(1 / 1.5),
  "gate-phase": () => gate("phase"), "gate-turn": () => gate("turn"), "gate-run": () => gate("run"), "gate-halt": () => gate("halt"),
};
for (const [id, act] of Object.entries(controls)) $(id).addEventListener("click", act);
for (const id of ["show-own", "fold"]) {
  $(id).addEventListener("change", () => {
    tabled = 0;
    draw();
  });
}
const keys = {
  " ": "freeze", ArrowLeft: "previous-turn", ArrowRight: "next-turn", ",": "previous-phase", ".": "next-phase", p: "play", "[": "zoom-out", "]": "zoom-in",
  n: "gate-phase", t: "gate-turn", r: "gate-run", h: "gate-halt",
};
addEventListener("keydown", (key) => {
  // Single keys are the page's, unless somebody means a control or the browser by them.
  if (key.ctrlKey || key.altKey || key.metaKey || key.target.closest("input, select, summary, .table, #event-rows")) return;
  if (key.key === " " && key.target.closest("button, a")) return;
  if (key.key === "-") return speed(-1);
  if (key.key === "+") return speed(1);
  const control = $(keys[key.key.length === 1 ? key.key.toLowerCase() : key.key]);
  if (!control || control.disabled) return;
  key.preventDefault();
  control.click();
});
$("lanes").addEventListener("click", (click) => {
  const turn = lanes.turnAt(click.offsetX);
  if (turn) look(turn.n);
});
for (const [target, name] of [[window, "resize"], [document, "visibilitychange"], [matchMedia("(prefers-color-scheme: dark)"), "change"]]) target.addEventListener(name, draw);
// A page that the browser kept, and shows again, begins anew.
addEventListener("pageshow", (shown) => shown.persisted && location.reload());
