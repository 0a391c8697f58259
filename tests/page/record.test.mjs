// What the page remembers, and where one can go in it.
import assert from "node:assert/strict";
import test from "node:test";

import { Player, next, shownFor } from "../../src/app/monitor/page/player.mjs";
import { Place, Record, began, called, ended, short, worked } from "../../src/app/monitor/page/record.mjs";

const LABELS = ["", "program", "connection", "GET /x", "broadcaster"];

function turn(n, at, more = {}) {
  return { n, at, phase_ns: [500, 100, 0, 0, 0, 40, 0], counts: [1, 1, 0, 0, 0, 1, 0], timeout_ns: null, observer: false, ...more };
}

function dispatch(at, more = {}) {
  return { id: "4294967300", at, ns: 90, kind: 2, label: 3, phase: 1, outcome: "wait", observer: false, ...more };
}

function batch(more) {
  return { now_ns: 0, labels: {}, turns: [], dispatches: [], jobs: [], timers: [], events: [], gauges: {}, ...more };
}

function recorded(...batches) {
  const record = new Record();
  record.greet({ now_ns: 0, labels: [...LABELS], mode: "free", listen: [], slow_ns: 5e6 });
  for (const one of batches) record.add(batch(one));
  return record;
}

test("a turn has what was dispatched in it, by name", () => {
  const record = recorded({ turns: [turn(1, 1000), turn(2, 3000)], dispatches: [dispatch(1000), dispatch(3000), dispatch(3050, { label: 0 })] });
  assert.deepEqual(record.turns.map((one) => one.dispatches.map(({ name, turn }) => [name, turn])), [[["GET /x", 1]], [["GET /x", 2], ["connection", 2]]]);
  assert.equal(worked(record.turns[0]), 140);
  assert.equal(ended(record.turns[0]), 1140);
  assert.deepEqual([0, 1, 5].map((phase) => began(record.turns[0], phase)), [500, 1000, 1100]);
});

test("what a turn under way has done is kept until the turn has ended", () => {
  const record = recorded({ dispatches: [dispatch(1000)] });
  assert.deepEqual([record.turns.length, record.underWay.length], [0, 1]);
  record.add(batch({ dispatches: [dispatch(1090)], turns: [turn(1, 1000)] }));
  assert.deepEqual([record.turns[0].dispatches.length, record.underWay.length], [2, 0]);
});

test("what is told twice is kept once, and what was not told is counted", () => {
  const record = recorded({ turns: [turn(1, 1000), turn(2, 3000)] }, { turns: [turn(2, 3000), turn(6, 9000)] });
  assert.deepEqual(record.turns.map((one) => [one.n, one.gap]), [[1, 0], [2, 0], [6, 3]]);
  assert.equal(record.missing, 3);
});

test("names that are given later are known by then", () => {
  const record = recorded({ labels: { 5: "GET /new" }, turns: [turn(1, 1000)], dispatches: [dispatch(1000, { label: 5 })] });
  assert.equal(record.turns[0].dispatches[0].name, "GET /new");
});

test("a server that was started anew is not taken for the one before", () => {
  const record = recorded({ now_ns: 5e9, turns: [turn(1, 1000)] });
  record.greet({ now_ns: 10, labels: [...LABELS], mode: "free", listen: [] });
  assert.equal(record.turns.length, 0);
  record.add(batch({ turns: [turn(1, 100)] }));
  assert.equal(record.turns.length, 1);
});

test("the page's own work is left out, the rest of the same turn is not", () => {
  const own = dispatch(1050, { kind: 4, label: 0, observer: true });
  const record = recorded({ turns: [turn(1, 1000), turn(2, 3000, { observer: true })], dispatches: [dispatch(1000), own, dispatch(3000, { observer: true })] });
  assert.deepEqual(record.shown(true).map((one) => [one.n, one.dispatches.length]), [[1, 2], [2, 1]]);
  assert.deepEqual(record.shown(false).map((one) => [one.n, one.dispatches.length, [...one.own]]), [[1, 1, [1]]]);
});

test("turns that were not told before one that is hidden were not told before the next", () => {
  const record = recorded({ turns: [turn(1, 1000), turn(4, 3000, { observer: true }), turn(5, 5000)] });
  assert.deepEqual(record.shown(false).map((one) => [one.n, one.gap]), [[1, 0], [5, 2]]);
});

test("what is looked at stands still while more comes", () => {
  const record = recorded({ turns: [turn(1, 1000)], dispatches: [dispatch(1000)] });
  const still = record.still();
  record.add(batch({ turns: [turn(2, 3000)], labels: { 3: "GET /y" }, events: [{ id: 1 }] }));
  assert.deepEqual([still.shown(false).length, still.events.length, still.labels[3]], [1, 0, "GET /x"]);
  assert.equal(record.shown(false).length, 2);
});

test("when a deadline was planned for is remembered, and one that was moved is not", () => {
  const record = recorded({ now_ns: 100, timers: [{ id: "1", at: 500 }, { id: "2", at: 9000 }] });
  record.add(batch({ now_ns: 600, timers: [{ id: "2", at: 20000 }] }));
  assert.deepEqual(record.planned, [{ id: "1", at: 500 }]);
});

test("of a turn whose dispatches were not all told, that is known", () => {
  const record = recorded({ turns: [turn(1, 1000), turn(2, 3000)], dispatches: [dispatch(3000)], skipped: { dispatches: 1 } });
  assert.deepEqual(record.turns.map((one) => one.untold), [true, false]);
});

test("no more is remembered than can be looked at", () => {
  const turns = Array.from({ length: 5000 }, (_, n) => turn(n + 1, 1000 * (n + 1)));
  const record = recorded({ turns });
  assert.deepEqual([record.turns.length, record.turns[0].n], [2000, 3001]);
});

test("the last minute has a second to a bar", () => {
  const record = recorded({ turns: [turn(1, 1e9), turn(2, 1.5e9), turn(3, 2e9), turn(4, 90e9)] });
  assert.deepEqual(record.seconds.map((second) => second.second), [90]);
  assert.equal(record.seconds[0].worked, 140);
});

test("a step goes to the next turn or phase, and no further than there is", () => {
  const { turns } = recorded({ turns: [turn(1, 1000), turn(2, 3000)] });
  const first = Place.at(turns[0]);
  assert.deepEqual([first.turn, first.phase], [1, 1]);
  assert.equal(first.byTurn(turns, 1).turn, 2);
  assert.equal(first.byTurn(turns, -1), first);
  assert.deepEqual({ ...first.byPhase(turns, -1) }, { turn: 1, phase: 0 });
  assert.deepEqual({ ...new Place(1, 6).byPhase(turns, 1) }, { turn: 2, phase: 0 });
  assert.deepEqual({ ...new Place(2, 0).byPhase(turns, -1) }, { turn: 1, phase: 6 });
  const last = new Place(2, 6);
  assert.equal(last.byPhase(turns, 1), last);
});

test("playing passes over phases with nothing to do, and ends", () => {
  const { turns } = recorded({ turns: [turn(1, 1000), turn(2, 3000)] });
  const seen = [];
  for (let at = new Place(1, 0); at; at = next(at, turns)) seen.push([at.turn, at.phase]);
  assert.deepEqual(seen, [[1, 0], [1, 1], [1, 5], [2, 0], [2, 1], [2, 5]]);
});

test("what is played takes as long as was asked for, and sleeps no longer than half a second", () => {
  const one = turn(1, 1000, { phase_ns: [9e9, 2000, 0, 0, 0, 0, 0] });
  assert.equal(shownFor(one, 1, 10000), 20);
  assert.equal(shownFor(one, 0, 10), 500);
});

test("a player walks through turns at the speed that was asked for", () => {
  const { turns } = recorded({ turns: [turn(1, 1000), turn(2, 3000)] });
  const player = new Player(turns, new Place(1, 1), 10000); // readiness: 100 ns, for 1 ms
  assert.equal(player.moment, 1000);
  assert.equal(player.advance(0.5), true);
  assert.equal(player.moment, 1050);
  player.changeSpeed(1000); // half of it is over as before
  assert.equal(player.moment, 1050);
  player.advance(0.05);
  assert.deepEqual([player.place.turn, player.place.phase], [1, 5]);
  assert.equal(player.advance(10), false);
  assert.deepEqual([player.place.turn, player.place.phase], [2, 5]);
  assert.equal(player.moment, ended(turns[1]));
});

test("sources are named by their slots", () => {
  assert.equal(short("4294967311"), "15");
  assert.equal(short("8589934607"), "15.2");
  assert.equal(short("4294967295"), "the program");
  assert.equal(called({ id: "4294967311", kindName: "connection" }), "connection 15");
  assert.equal(called({ id: "4294967295", kindName: "program" }), "the program");
});
