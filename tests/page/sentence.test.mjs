// What the page says of a turn: why the loop slept, and why it woke.
import assert from "node:assert/strict";
import test from "node:test";

import { sentence } from "../../src/app/monitor/page/sentence.mjs";
import { bytes, count, duration } from "../../src/app/monitor/page/time.mjs";

function turn(more) {
  return { n: 42, at: 1e9, phase_ns: [1.2e9, 0, 0, 0, 0, 0, 0], counts: [0, 0, 0, 0, 0, 0, 0], timeout_ns: 30e9, dispatches: [], ...more };
}

function dispatch(phase, kindName, name, ns) {
  return { id: "4294967303", phase, kindName, name, ns };
}

const SAID = [
  [
    "a source that was ready",
    turn({ phase_ns: [1.2e9, 85000, 0, 0, 0, 9000, 0], counts: [1, 1, 0, 0, 0, 1, 0], dispatches: [dispatch(1, "connection", "GET /healthz", 85000)] }),
    "Turn 42: the loop slept for 1.2 s of at most 30 s, until the next deadline, and woke because 1 source was ready (connection 7, GET /healthz). It worked for 94 µs, most of it on GET /healthz: 1 outbox written.",
  ],
  [
    "no deadline",
    turn({ timeout_ns: null, counts: [0, 0, 2, 0, 0, 0, 0] }),
    "Turn 42: the loop slept for 1.2 s, with no deadline ahead, and woke because 2 results came from workers. It worked for 0 ns.",
  ],
  [
    "work that was left over",
    turn({ phase_ns: [300, 5000, 0, 0, 0, 0, 0], timeout_ns: 0, counts: [0, 1, 0, 0, 0, 0, 0] }),
    "Turn 42: the loop did not sleep, since somebody still had something to do, and nothing new had come. It worked for 5 µs: 1 source asked again.",
  ],
  [
    "news, while work was left over",
    turn({ phase_ns: [300, 0, 0, 0, 0, 0, 0], timeout_ns: 0, counts: [3, 3, 0, 0, 0, 0, 0] }),
    "Turn 42: the loop did not sleep, since somebody still had something to do, and found that 3 sources were ready. It worked for 0 ns.",
  ],
  [
    "a deadline that had come",
    turn({ phase_ns: [30e9, 0, 0, 7000, 0, 0, 0], counts: [0, 0, 0, 1, 0, 0, 0], dispatches: [dispatch(3, "maintenance", "maintenance", 7000)] }),
    "Turn 42: the loop slept for 30 s of at most 30 s, until the next deadline, and woke because 1 deadline had come (maintenance 7). It worked for 7 µs, most of it on maintenance.",
  ],
  [
    "ready sources among others that were asked again: which were which is not known",
    turn({ timeout_ns: 0, counts: [1, 2, 0, 0, 0, 0, 0], dispatches: [dispatch(1, "connection", "GET /a", 0), dispatch(1, "connection", "GET /b", 0)] }),
    "Turn 42: the loop did not sleep, since somebody still had something to do, and found that 1 source was ready. It worked for 0 ns: 1 source asked again.",
  ],
  [
    "what is hidden, since it was done for the page",
    turn({ counts: [1, 1, 0, 1, 0, 0, 0], own: new Set([3]), dispatches: [dispatch(1, "connection", "GET /healthz", 0)] }),
    "Turn 42: the loop slept for 1.2 s of at most 30 s, until the next deadline, and woke because 1 source was ready (connection 7, GET /healthz) and 1 deadline had come (the page’s own). It worked for 0 ns.",
  ],
  [
    "a deadline that had been moved",
    turn({ phase_ns: [30e9, 0, 0, 0, 0, 0, 0] }),
    "Turn 42: the loop slept for 30 s of at most 30 s, until the next deadline, and woke for a deadline that had been moved meanwhile. It worked for 0 ns.",
  ],
  [
    "nothing that is known",
    turn({}),
    "Turn 42: the loop slept for 1.2 s of at most 30 s, until the next deadline, and was woken without anything to do: a signal, or a worker whose result was taken already. It worked for 0 ns.",
  ],
  [
    "several reasons at once",
    turn({ counts: [2, 2, 1, 1, 3, 2, 1] }),
    "Turn 42: the loop slept for 1.2 s of at most 30 s, until the next deadline, and woke because 2 sources were ready, 1 result came from workers and 1 deadline had come. It worked for 0 ns: 3 events or messages delivered, 2 outboxes written and 1 source freed.",
  ],
];

for (const [what, one, said] of SAID) test(`it is said of ${what}`, () => assert.equal(sentence(one), said));

test("of a loop that is made to halt, it is not said that it worked all the time", () => {
  assert.match(sentence(turn({ phase_ns: [1e9, 6e9, 0, 0, 0, 0, 0] }), true), / It took 6 s, halts between its phases included\.$/);
});

test("times have three digits and a unit", () => {
  for (const [ns, text] of [[0, "0 ns"], [999, "999 ns"], [1500, "1.5 µs"], [85432, "85.4 µs"], [2e8, "200 ms"], [1.234e9, "1.23 s"], [9e12, "9000 s"]]) assert.equal(duration(ns), text);
  assert.equal(count(1, "source"), "1 source");
  assert.equal(count(1200, "source"), "1,200 sources");
  assert.deepEqual([12, 2048, 3 * 1048576].map(bytes), ["12 B", "2.0 KiB", "3.0 MiB"]);
});
