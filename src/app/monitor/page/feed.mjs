// What goes to the server and comes from it: the stream of what the loop does, its sources, and what it is asked to do.

/** How often a stream that was refused is asked for again: eight may watch. One that breaks the browser opens again. */
const REFUSED_MS = 5000;
/** How often sources are asked for, at most. Asking is work for the loop that is looked at. */
const SOURCES_EVERY_MS = 1000;

/** Follows the loop; `heard` has what to do with each kind of message, those of other kinds are ignored. */
export function follow(heard, state) {
  let stream;
  const open = () => {
    stream = new EventSource("/live");
    for (const [name, act] of Object.entries(heard)) stream.addEventListener(name, (message) => act(JSON.parse(message.data)));
    stream.addEventListener("open", () => state("connected"));
    stream.addEventListener("error", () => {
      state("trying again");
      if (stream.readyState === EventSource.CLOSED) setTimeout(open, REFUSED_MS);
    });
  };
  open();
  // A page that is about to be left says so: the server need not find out.
  addEventListener("pagehide", () => stream.close());
}

/** The sources, asked for when something has happened, while `wanted` says that somebody looks. */
export class Sources {
  #askedAt = -Infinity;
  #isAsked = false;

  constructor(wanted, show) {
    this.wanted = wanted;
    this.show = show;
  }

  /** Asks for them, soon. */
  ask() {
    if (this.#isAsked || !this.wanted()) return;
    this.#isAsked = true;
    setTimeout(() => this.#fetch(), Math.max(0, this.#askedAt + SOURCES_EVERY_MS - performance.now()));
  }

  async #fetch() {
    this.#askedAt = performance.now();
    try {
      const response = await fetch("/ps", { headers: { Accept: "application/json" } });
      if (response.ok) this.show((await response.json()).sources);
    } catch {
      // The stream tells that the server cannot be reached.
    }
    this.#isAsked = false;
  }
}

/** Ends a connection. What was wrong, if something was. */
export function end(id) {
  return change(`/ps/${id}`, { method: "DELETE" });
}

/** Lets a loop at the gate go on, or has it halt. What was wrong, if something was. */
export function stepGate(step) {
  return change("/gate", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ step }) });
}

async function change(path, options) {
  try {
    const response = await fetch(path, options);
    if (response.ok) return undefined;
    const { detail } = await response.json().catch(() => ({}));
    return detail ? `${detail[0].toUpperCase()}${detail.slice(1)}.` : `The server answered ${response.status}.`;
  } catch {
    return "The server cannot be reached.";
  }
}
