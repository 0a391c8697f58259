// Where moments are in the picture.
import assert from "node:assert/strict";
import test from "node:test";

import { LEFT, Scale } from "../../src/app/monitor/page/lanes.mjs";
import { Place, ended } from "../../src/app/monitor/page/record.mjs";

const WIDTH = 900;

/** A turn every millisecond, of which the loop sleeps most. */
const turns = Array.from({ length: 100 }, (_, n) => ({ n: n + 1, at: 1e6 * (n + 1), phase_ns: [9e5, 6e4, 0, 0, 0, 4e4, 0] }));

function scale(more) {
  return new Scale(turns, WIDTH, { fold: true, zoom: 1, place: new Place(100, 1), now: 1.01e8, ...more });
}

test("what is looked at is in the picture, however near or far", () => {
  for (const zoom of [0.06, 0.5, 1, 2, 8]) {
    for (const number of [1, 2, 50, 99, 100]) {
      const shown = scale({ zoom, place: new Place(number, 1) });
      const [from, to] = [shown.x(turns[number - 1].at), shown.x(ended(turns[number - 1]))];
      assert.ok(to > LEFT && to <= WIDTH && from < to, `turn ${number} at zoom ${zoom}: ${from} to ${to}`);
    }
  }
});

test("within a turn time is linear, and it never goes back", () => {
  const shown = scale({});
  const [{ at }, x] = [turns[98], (moment) => shown.x(moment)];
  assert.ok(Math.abs(x(at + 5e4) - (x(at) + x(at + 1e5)) / 2) < 1e-6);
  for (let moment = shown.from; moment < shown.to; moment += 7e4) assert.ok(x(moment) <= x(moment + 7e4));
});

test("a sleep has its length written, whether it is shortened or not", () => {
  assert.equal(scale({}).sleeps[0].text, "900 \u00b5s");
  const shown = scale({ fold: false });
  assert.equal(shown.sleeps[0].text, "900 \u00b5s");
  const [first, last] = [shown.sleeps[0], shown.sleeps.at(-1)];
  assert.ok(Math.abs(first.width - last.width) < 1e-6, "time is true");
  assert.equal(shown.x(turns[0].at - 9e5), LEFT);
  assert.equal(shown.x(1.01e8), WIDTH);
});
