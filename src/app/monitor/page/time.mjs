// Times for people. The loop's clock counts nanoseconds.

const UNITS = [["s", 1e9], ["ms", 1e6], ["µs", 1e3], ["ns", 1]];

/** `85 µs`, `1.2 s`: three digits at most, which is as much as anybody compares. */
export function duration(ns) {
  const [unit, size] = UNITS.find(([, size]) => ns >= size) ?? UNITS.at(-1);
  const value = ns / size;
  const digits = value >= 100 || unit === "ns" ? 0 : value >= 10 ? 1 : 2;
  // 1.20 and 45.0 say no more than 1.2 and 45.
  return `${Number(value.toFixed(digits))} ${unit}`;
}

/** `1 source`, `3 sources`. */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/** `12.3 KiB`. */
export function bytes(number) {
  if (number < 1024) return `${number} B`;
  const [unit, size] = number < 1048576 ? ["KiB", 1024] : ["MiB", 1048576];
  return `${(number / size).toFixed(1)} ${unit}`;
}

/** `21:02:33.123`, where the reader is. */
export function clock(unixMs) {
  const date = new Date(unixMs);
  const two = (number) => String(number).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
