// The page for people: log in, see who you are and your sessions, follow your events, log out.
//
// The signature is in a cookie that scripts cannot read. What this page keeps is the user's id, in local storage, so
// that other tabs learn at once that somebody has logged in or out.

const USER = "loopgate.user";
const EVENTS_SHOWN = 200;

const $ = (id) => document.getElementById(id);
const say = (text) => { $("notice").textContent = text; };

/** What went wrong, for people. */
async function problem(response) {
  const seconds = response.headers.get("Retry-After");
  const { detail, code } = await response.json().catch(() => ({}));
  if (code === "invalid_credentials") return "The user name or the password is wrong.";
  const sentence = detail ? detail[0].toUpperCase() + detail.slice(1) : `The server answered ${response.status}`;
  return seconds ? `${sentence}. Try again in ${seconds} s.` : `${sentence}.`;
}

/** Asks the server; what it answered, or nothing if it cannot be reached. */
async function ask(path, options) {
  try {
    return await fetch(path, { credentials: "same-origin", ...options });
  } catch {
    say("The server cannot be reached.");
  }
}

function time(text, timeStyle) {
  const element = document.createElement("time");
  element.dateTime = text;
  element.textContent = new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle });
  return element;
}

function show(inside) {
  for (const id of ["inside", "sessions", "events", "logout"]) $(id).hidden = !inside;
  $("outside").hidden = inside;
}

/** Nobody is logged in any more. */
function leave(notice) {
  stream.stop();
  clearTimeout(listing);
  localStorage.removeItem(USER);
  show(false);
  say(notice);
}

/** Shows whoever is logged in. */
async function enter() {
  const response = await ask("/session");
  if (!response) return;
  if (!response.ok) return leave("");
  const session = await response.json();
  show(true);
  if (localStorage.getItem(USER) !== session.user_id) localStorage.setItem(USER, session.user_id);
  $("username").textContent = session.username;
  $("role").textContent = session.role;
  $("expires").dateTime = session.expires_at;
  $("expires").textContent = new Date(session.expires_at).toLocaleTimeString();
  stream.start();
  await listSessions();
}

/** Soon: events come in crowds, and the next one may be the end. */
let listing;
function listSessionsSoon() {
  clearTimeout(listing);
  listing = setTimeout(listSessions, 200);
}

async function listSessions() {
  const response = await ask("/sessions");
  if (!response?.ok) return;
  const { sessions } = await response.json();
  $("session-rows").replaceChildren(...sessions.map((session) => {
    const row = document.createElement("tr");
    for (const [name, at] of [["Begun", session.issued_at], ["Last used", session.last_used_at], ["Ends", session.expires_at]]) {
      const cell = document.createElement("td");
      cell.dataset.name = name;
      cell.append(time(at, "short"));
      row.append(cell);
    }
    const cell = document.createElement("td");
    if (session.current) {
      cell.textContent = "this one";
    } else {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "End";
      button.setAttribute("aria-label", `End the session begun ${new Date(session.issued_at).toLocaleString()}`);
      button.addEventListener("click", () => end(session.id, button));
      cell.append(button);
    }
    row.append(cell);
    return row;
  }));
}

async function end(id, button) {
  button.disabled = true;
  const response = await ask(`/sessions/${id}`, { method: "DELETE" });
  if (response) say(response.ok ? "That session has ended." : await problem(response));
  await listSessions();
}

/** Events as they come. Whoever comes back after a break misses nothing: the last id that was seen goes along. */
const stream = {
  controller: undefined,
  last: undefined,
  revoked: false,

  start() {
    if (!this.controller) this.follow();
  },

  stop() {
    this.controller?.abort();
    this.controller = undefined;
    this.last = undefined;
    $("event-rows").replaceChildren();
    $("stream-state").textContent = "";
  },

  async follow() {
    const controller = new AbortController();
    this.controller = controller;
    this.revoked = false;
    let pause = 1000;
    while (!controller.signal.aborted) {
      try {
        const since = this.last === undefined ? "" : `?since=${this.last}`;
        const headers = { Accept: "text/event-stream" };
        const response = await fetch(`/events${since}`, { headers, signal: controller.signal });
        if (response.status === 401) break;
        if (!response.ok) throw new Error(await problem(response));
        $("stream-state").textContent = "live";
        pause = 1000;
        await this.read(response.body);
      } catch (error) {
        if (controller.signal.aborted) return;
        $("stream-state").textContent = "interrupted, trying again";
      }
      if (controller.signal.aborted) return;
      if (this.revoked) break;
      await new Promise((resume) => setTimeout(resume, pause));
      pause = Math.min(2 * pause, 30000);
    }
    if (!controller.signal.aborted) leave("Your session has ended.");
  },

  /** Lines of server-sent events (HTML Standard, section 9.2). */
  async read(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += value;
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data: ")) this.show(JSON.parse(line.slice(6)));
      }
    }
  },

  show(event) {
    // Told to this stream alone, as its last word.
    if (event.name === "session.revoked" && event.id === undefined) this.revoked = true;
    if (event.id !== undefined) this.last = event.id;
    // The store was restored from a backup, which ends before what was seen: ids go on from there.
    if (event.name === "gap" && event.data.last !== undefined) this.last = event.data.last;
    const row = document.createElement("li");
    if (event.time) row.append(time(event.time, "medium"));
    const name = document.createElement("strong");
    name.textContent = event.name;
    const data = document.createElement("code");
    data.textContent = JSON.stringify(event.data);
    row.append(name, data);
    const rows = $("event-rows");
    rows.prepend(row);
    while (rows.children.length > EVENTS_SHOWN) rows.lastChild.remove();
    if (event.name.startsWith("user.") || event.name.startsWith("session.")) listSessionsSoon();
  },
};

$("login").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const form = submit.target;
  const button = form.querySelector("button");
  button.disabled = true;
  say("");
  const response = await ask("/login", { method: "POST", body: new URLSearchParams(new FormData(form)) });
  button.disabled = false;
  if (!response) return;
  if (!response.ok) {
    say(await problem(response));
    form.elements.password.select();
    return;
  }
  const { user_id } = await response.json();
  localStorage.setItem(USER, user_id);
  form.reset();
  await enter();
  $("logout").querySelector("button").focus();
});

async function logOut(path) {
  const response = await ask(path, { method: "POST" });
  if (!response) return;
  if (response.ok || response.status === 401) leave("You have logged out.");
  else say(await problem(response));
}

$("logout").addEventListener("submit", (submit) => {
  submit.preventDefault();
  logOut("/logout");
});
$("everywhere").addEventListener("click", () => logOut("/logout?everywhere=true"));

// Another tab has logged in or out.
addEventListener("storage", (change) => {
  if (change.key !== USER) return;
  if (change.newValue === null) leave("You have logged out.");
  else enter();
});

// The server knows whether the cookie is good, and says so in the page. Browsers keep pages and show them again.
addEventListener("pageshow", (shown) => {
  const inside = shown.persisted ? localStorage.getItem(USER) !== null : "session" in document.body.dataset;
  if (inside) enter();
  else leave("");
});
