// The stream of what the loop does. Browsers open it again when it breaks.

export function follow(record, { changed, halted, sleeps, resumed, state }) {
  const stream = new EventSource("/live");
  const on = (name, act) => stream.addEventListener(name, (message) => act(JSON.parse(message.data)));
  on("hello", (hello) => {
    record.greet(hello);
    state("connected");
    changed(true);
  });
  on("batch", (batch) => {
    record.add(batch);
    changed(false);
  });
  on("halted", halted);
  on("sleeps", sleeps);
  on("resumed", resumed);
  stream.addEventListener("error", () => state("trying again"));
  // A page that is about to be left says so: the server need not find out.
  addEventListener("pagehide", () => stream.close());
}
