// The ring of phases: one turn, as a pointer goes round it.

import { PHASES } from "./record.mjs";
import { count, duration } from "./time.mjs";

const SVG = "http://www.w3.org/2000/svg";
const CENTRE = 160;
const [INNER, OUTER] = [70, 154];
const EACH = 360 / PHASES.length;
/** Between two arcs, in degrees. */
const GAP = 2;
const COUNTED = [
  (n) => count(n, "ready", "ready"), (n) => count(n, "dispatched", "dispatched"), (n) => count(n, "result"),
  (n) => count(n, "deadline"), (n) => count(n, "delivered", "delivered"), (n) => count(n, "written", "written"), (n) => count(n, "freed", "freed"),
];

function element(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A point at `degrees` clockwise from the top. */
function point(degrees, radius) {
  const radians = ((degrees - 90) * Math.PI) / 180;
  return `${(CENTRE + radius * Math.cos(radians)).toFixed(1)} ${(CENTRE + radius * Math.sin(radians)).toFixed(1)}`;
}

function arc(from, to) {
  return `M ${point(from, OUTER)} A ${OUTER} ${OUTER} 0 0 1 ${point(to, OUTER)} L ${point(to, INNER)} A ${INNER} ${INNER} 0 0 0 ${point(from, INNER)} Z`;
}

export class Ring {
  constructor(svg) {
    this.title = svg.querySelector("title");
    this.arcs = PHASES.map((name, phase) => {
      const middle = phase * EACH;
      const [x, y] = point(middle, (INNER + OUTER) / 2).split(" ").map(Number);
      const line = (dy, name) => element("text", { x, y: y + dy, class: name });
      const [label, time, number] = [line(-9, "phase"), line(6, "time"), line(19, "number")];
      label.textContent = phase > 0 ? `${phase} ${name}` : name;
      const group = element("g", { class: "arc", "data-phase": name }, element("path", { d: arc(middle - EACH / 2 + GAP / 2, middle + EACH / 2 - GAP / 2) }), label, time, number);
      svg.append(group);
      return { group, time, number };
    });
    this.pointer = element("path", { class: "pointer", d: `M ${CENTRE - 7} ${CENTRE} L ${CENTRE} ${CENTRE - INNER + 6} L ${CENTRE + 7} ${CENTRE} Z` });
    this.centre = element("text", { x: CENTRE, y: CENTRE + 34, class: "turn" });
    svg.append(this.pointer, element("circle", { cx: CENTRE, cy: CENTRE, r: 9, class: "hub" }), this.centre);
    this.degrees = 0;
  }

  /** Shows a turn, and the phase at which it is looked at. */
  show(turn, phase, number = turn?.n) {
    for (const [at, { group, time, number }] of this.arcs.entries()) {
      const ns = turn?.phase_ns[at] ?? 0;
      const pieces = turn?.counts[at] ?? 0;
      group.classList.toggle("here", at === phase);
      group.classList.toggle("busy", pieces > 0 || ns > 0);
      time.textContent = turn && (ns > 0 || pieces > 0) ? duration(ns) : "–";
      number.textContent = pieces > 0 ? COUNTED[at](pieces) : "";
    }
    // The shorter way, forwards: the loop never goes back.
    const target = phase * EACH;
    this.degrees += (((target - this.degrees) % 360) + 540) % 360 - 180;
    this.pointer.style.transform = `rotate(${this.degrees}deg)`;
    // Where the pointer is not.
    this.centre.setAttribute("y", phase === 3 || phase === 4 ? CENTRE - 24 : CENTRE + 34);
    this.centre.textContent = number === undefined ? "" : `turn ${number}`;
    this.title.textContent = number === undefined ? "The seven phases of a turn" : `Turn ${number}, at ${PHASES[phase]}: ${this.#text(turn)}`;
  }

  #text(turn) {
    if (!turn) return "it has not ended yet";
    return PHASES.map((name, phase) => `${name} ${duration(turn.phase_ns[phase])}`).join(", ");
  }
}
