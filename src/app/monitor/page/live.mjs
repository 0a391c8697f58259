// The live page: what the loop does, while it does it. `feed` brings it, `record` remembers it, the others show it.

import { Sources, end, follow, stepGate } from "./feed.mjs";
import { Lanes } from "./lanes.mjs";
import { Player, SLEEP_SHOWN_MS, next } from "./player.mjs";
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
const [DRAWN_EVERY_MS, CALM_EVERY_MS] = [100, 1000];
/** Tables are for reading: they need not keep up with the drawings. */
const TABLES_EVERY_MS = 500;
/** The end of what is played stays on the screen for so long before playing is over. */
const END_SHOWN_MS = 400;
/** Turns in the picture. */
const [TURNS, TURNS_MIN, TURNS_MAX] = [24, 3, 400];

const view = {
  /** `live`, `frozen` or `playback`. */
  mode: "live",
  place: new Place(),
  /** What is looked at: all that is remembered, or what was when it was frozen. */
  of: record,
  zoom: TURNS,
  sources: [],
  /** Where a loop is that is slowed down: `{turn, before}` or `{turn, asleep}`; nothing while it runs. */
  stands: undefined,
};

/** Turns that can be looked at. */
const turns = () => view.of.shown($("show-own").checked);

// Drawing: never more often than the screen, and not at all where nobody sees it.

let asked = false;
let drawn = 0;
let tabled = 0;
let late;

function draw() {
  if (asked || document.hidden) return;
  asked = true;
  const every = calm.matches ? CALM_EVERY_MS : DRAWN_EVERY_MS;
  const pause = view.mode === "live" ? drawn + every - performance.now() : 0;
  if (pause > 0) setTimeout(() => requestAnimationFrame(paint), pause);
  else requestAnimationFrame(paint);
}

/** Draws everything, tables too: somebody has done something, and waits to see what comes of it. */
function drawNow() {
  tabled = 0;
  drawn = 0;
  draw();
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
  if (turn) $("sentence").textContent = sentence(turn, record.hello.mode !== "free");
  ring.show(ofTurn, phase, number);
  lanes.show({ turns: inPicture(shown), record: view.of, place: view.place, fold: $("fold").checked, zoom: TURNS / view.zoom, moment: player?.moment });
  buttons(shown);
  if (view.mode !== "frozen" && performance.now() - tabled < TABLES_EVERY_MS) {
    clearTimeout(late);
    late = setTimeout(draw, TABLES_EVERY_MS);
    return;
  }
  tabled = performance.now();
  tables(shown, ofTurn ?? (stands ? { dispatches: record.underWay } : undefined), phase, number);
}

function tables(shown, turn, phase, number) {
  const { of } = view;
  $("selected-turn").textContent = number ?? "–";
  showSelected($("selected-rows"), turn, phase, record.hello.slow_ns);
  showDispatches($("dispatch-rows"), of, shown, look);
  showTurns($("turn-rows"), of, shown, number, look);
  showEvents($("event-rows"), of.events);
  strips.show(of.seconds, of.now);
  $("gauges").textContent = gauges(of.gauges);
  showAllSources();
}

function gauges({ connections, streams, sessions, jobs_waiting: waiting, pending }) {
  if (connections === undefined) return "";
  return `Now: ${count(connections, "connection")}, ${count(streams, "stream")}, ${count(sessions, "session")}; ${count(pending, "job")} handed out, of which ${waiting} wait for a worker.`;
}

function showAllSources() {
  const shown = view.sources.filter((one) => $("show-own").checked || !one.observer);
  $("source-count").textContent = `(${shown.length})`;
  showSources($("source-rows"), shown, record.hello.mode === "free" ? endConnection : undefined);
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
  const isLive = view.mode === "live";
  $("freeze").textContent = isLive ? "Freeze" : "Follow again";
  $("play").textContent = view.mode === "playback" ? "Stop" : "Play";
  $("previous-turn").disabled = at <= 0;
  $("previous-phase").disabled = at <= 0 && view.place.phase === 0;
  $("next-turn").disabled = isLive || at >= shown.length - 1;
  $("next-phase").disabled = isLive || (at >= shown.length - 1 && view.place.phase === PHASES.length - 1);
  $("scale").textContent = $("fold").checked
    ? "Sleeps are shortened, and have their length written; a turn that took ten times as long is a little wider; within a turn time is true."
    : "Time is true: what is short is thin.";
}

/** For everybody: what they did, and what came of it. */
function say(text) {
  $("said").textContent = text;
}

// Live, frozen, playback.

function freeze() {
  if (view.mode !== "live") return;
  view.mode = "frozen";
  view.of = record.still();
  drawNow();
}

function liveAgain() {
  stop();
  view.mode = "live";
  view.of = record;
  say("Following the loop.");
  sources.ask();
  drawNow();
}

function go(place) {
  freeze();
  stop();
  view.place = place;
  drawNow();
  const turn = place.find(turns());
  if (turn) say(`Turn ${turn.n}, ${PHASES[place.phase]}: ${duration(turn.phase_ns[place.phase])}.`);
}

function look(number) {
  const turn = turns().find((one) => one.n === number);
  if (turn) go(Place.at(turn));
}

/** While something is played. */
let player;
let playedAt;

const slowness = () => Number($("speed").value);

function play() {
  freeze();
  const shown = turns();
  if (shown.length === 0) return;
  view.mode = "playback";
  // From the end there is nothing to play: from the beginning of what is in the picture, then.
  if (!next(view.place, shown)) view.place = new Place(inPicture(shown)[0].n, 0);
  player = new Player(shown, view.place, slowness());
  playedAt = performance.now();
  sayHowItIsPlayed();
  drawNow();
  requestAnimationFrame(playOn);
}

function playOn(now) {
  if (!player) return;
  const hasMore = player.advance(Math.max(0, now - playedAt));
  playedAt = now;
  // Whoever wants no motion sees where it is, phase by phase, and no needle that moves.
  if (!calm.matches || view.place !== player.place) paintAt(player.place);
  if (hasMore) requestAnimationFrame(playOn);
  else ending = setTimeout(playedOut, END_SHOWN_MS);
}

function paintAt(place) {
  view.place = place;
  draw();
}

let ending;

function playedOut() {
  stop();
  say("That was the last turn.");
  drawNow();
}

function sayHowItIsPlayed() {
  say(`Playing at ${$("speed").selectedOptions[0].text} of real speed; no sleep is shown for longer than ${SLEEP_SHOWN_MS} ms.`);
}

function stop() {
  clearTimeout(ending);
  player = undefined;
  if (view.mode === "playback") view.mode = "frozen";
}

function changeSpeed() {
  player?.changeSpeed(slowness());
  if (player) sayHowItIsPlayed();
}

/** Towards the end of the list it is slower. */
function speedBy(step) {
  const speeds = $("speed");
  if (!speeds.options[speeds.selectedIndex + step]) return;
  speeds.selectedIndex += step;
  changeSpeed();
}

function zoom(factor) {
  view.zoom = Math.min(TURNS_MAX, Math.max(TURNS_MIN, Math.round(view.zoom * factor)));
  say(`${count(view.zoom, "turn")} in the picture, if there is room.`);
  drawNow();
}

// What the server tells, and what it is asked.

const sources = new Sources(
  () => !document.hidden && view.mode === "live",
  (all) => {
    view.sources = all;
    showAllSources();
  },
);

async function endConnection(id) {
  say((await end(id)) ?? `Connection ${short(id)} has ended.`);
  // Its row goes, with the button that has the focus: the list keeps it.
  $("source-rows").closest(".table").focus();
}

async function gate(step) {
  if (record.hello.mode !== "gate") return;
  if (view.mode !== "live") liveAgain();
  const wrong = await stepGate(step);
  if (wrong) say(wrong);
  else if (step === "run") runs();
  // One that sleeps does not notice before it wakes.
  else if (step === "halt") say("The loop halts before the next phase: if it is asleep, that is when something wakes it.");
}

function runs() {
  view.stands = undefined;
  say("The loop runs.");
  drawNow();
}

const heard = {
  hello(hello) {
    const wasAnother = record.greet(hello);
    if (wasAnother) {
      liveAgain();
      say("The server was started anew: what was known of the one before is gone.");
    }
    banner();
    draw();
  },
  batch(batch) {
    record.add(batch);
    if (view.mode !== "live") return;
    draw();
    sources.ask();
  },
  halted(halted) {
    view.stands = halted;
    if (halted.for_ms === null) say(`The loop halts in turn ${halted.turn}, before ${halted.before}.`);
    drawNow();
  },
  sleeps({ turn }) {
    view.stands = { turn, asleep: true };
    drawNow();
  },
  resumed: runs,
};

follow(heard, (state) => {
  $("connection-state").textContent = state;
  $("connection-state").dataset.state = state;
});

function banner() {
  const { mode, slow_turn_ms, listen, version } = record.hello;
  view.stands = undefined;
  $("listen").textContent = `loopgate ${version} on ${listen.join(", ")}`;
  $("gate").hidden = mode !== "gate";
  // A loop that stands answers nobody, and the thread that shows it has the sources only.
  $("for-programs").hidden = mode !== "free";
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
  return drawNow();
};
const controls = {
  freeze: toggle, "previous-turn": turnBy(-1), "next-turn": turnBy(1), "previous-phase": phaseBy(-1), "next-phase": phaseBy(1), play: playOrStop,
  "zoom-out": () => zoom(1.5), "zoom-in": () => zoom(1 / 1.5),
  "gate-phase": () => gate("phase"), "gate-turn": () => gate("turn"), "gate-run": () => gate("run"), "gate-halt": () => gate("halt"),
};
for (const [id, act] of Object.entries(controls)) $(id).addEventListener("click", act);
for (const id of ["show-own", "fold"]) $(id).addEventListener("change", drawNow);
$("speed").addEventListener("change", changeSpeed);

const keys = {
  " ": "freeze", ArrowLeft: "previous-turn", ArrowRight: "next-turn", ",": "previous-phase", ".": "next-phase", p: "play", "[": "zoom-out", "]": "zoom-in",
  n: "gate-phase", t: "gate-turn", r: "gate-run", h: "gate-halt",
};
const shifted = { ArrowLeft: "previous-phase", ArrowRight: "next-phase" };
const others = {
  "-": () => speedBy(1),
  "+": () => speedBy(-1),
  "?": () => $("help").toggleAttribute("open"),
  Escape: () => $("help").removeAttribute("open"),
};
addEventListener("keydown", (key) => {
  // Single keys are the page's, unless somebody means a control, a list that scrolls, or the browser by them.
  if (key.ctrlKey || key.altKey || key.metaKey || key.target.closest("input, select")) return;
  if (key.key === " " && key.target.closest("button, a, summary")) return;
  if ((key.key === " " || key.key.startsWith("Arrow")) && key.target.matches(".table, #event-rows")) return;
  const name = key.key.length === 1 ? key.key.toLowerCase() : key.key;
  if (others[name]) return others[name]();
  const control = $((key.shiftKey && shifted[name]) || keys[name]);
  if (!control || control.disabled) return;
  key.preventDefault();
  control.click();
});
$("lanes").addEventListener("click", (click) => {
  const turn = lanes.turnAt(click.offsetX);
  if (turn) look(turn.n);
});

addEventListener("resize", drawNow);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  drawNow();
  sources.ask();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  lanes.restyle();
  drawNow();
});
// A page that the browser kept, and shows again, begins anew.
addEventListener("pageshow", (shown) => shown.persisted && location.reload());
