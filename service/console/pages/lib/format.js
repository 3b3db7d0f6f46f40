// Numbers and times as people read them. Every function takes null, undefined or NaN and answers "–".

export const NOTHING = "–";
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayTime = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "short",
  day: "2-digit",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

const missing = (value) => value === null || value === undefined || !Number.isFinite(Number(value));

// 1234567 -> "1,234,567"; below 10 a fraction keeps one decimal.
export function count(value) {
  if (missing(value)) return NOTHING;
  const n = Number(value);
  return Math.abs(n) < 10 && !Number.isInteger(n) ? n.toFixed(1) : whole.format(n);
}

// 1234567 -> "1.23 M", for axes and small places.
export function short(value) {
  if (missing(value)) return NOTHING;
  const n = Number(value);
  for (const [size, unit] of [
    [1e9, " G"],
    [1e6, " M"],
    [1e4, " k"],
  ]) {
    const scale = unit === " k" ? 1e3 : size;
    if (Math.abs(n) >= size) return `${Number((n / scale).toPrecision(3))}${unit}`;
  }
  return Math.abs(n) < 10 ? String(Number(n.toPrecision(2))) : count(n);
}

// An AUC and its like: three decimals.
export function ratio(value, digits = 3) {
  return missing(value) ? NOTHING : Number(value).toFixed(digits);
}

// A probability: as many decimals as it takes to show two digits, never "0" for a small one. 0.00862 -> "0.0086".
export function probability(value) {
  if (missing(value)) return NOTHING;
  const n = Number(value);
  if (n === 0 || n === 1) return String(n);
  if (Math.abs(n) < 0.0001) return n.toExponential(1);
  if (Math.abs(n) < 0.1) return n.toPrecision(2);
  return n > 0.9995 ? n.toFixed(5).replace(/0+$/, "") : n.toFixed(3);
}

// 0.1234 -> "12.3 %".
export function percent(value, digits = 1) {
  return missing(value) ? NOTHING : `${(Number(value) * 100).toFixed(digits)} %`;
}

// A signed number, with a real minus.
export function signed(value, digits = 2) {
  if (missing(value)) return NOTHING;
  const n = Number(value);
  return `${n < 0 ? "−" : "+"}${Math.abs(n).toFixed(digits)}`;
}

// A duration given in seconds: "0.8 ms", "12 ms", "4.2 s", "3 min 05 s", "2 h 10 min", "4 d 2 h".
export function seconds(value) {
  if (missing(value)) return NOTHING;
  const n = Number(value);
  if (n < 0) return `−${seconds(-n)}`;
  if (n === 0) return "0 s";
  if (n < 0.01) return `${(n * 1000).toFixed(1)} ms`;
  if (n < 0.9995) return `${Math.round(n * 1000)} ms`;
  if (n < 9.95) return `${n.toFixed(1)} s`;
  if (n < 119.5) return `${Math.round(n)} s`;
  if (n < 3570) return pair(Math.round(n), 60, "min", "s");
  if (n < 86400) return pair(Math.round(n / 60), 60, "h", "min");
  return pair(Math.round(n / 3600), 24, "d", "h");
}

function pair(total, per, large, little) {
  const rest = total % per;
  return `${Math.floor(total / per)} ${large}${rest ? ` ${String(rest).padStart(large === "d" ? 1 : 2, "0")} ${little}` : ""}`;
}

// Milliseconds as seconds() reads them.
export function milliseconds(value) {
  return missing(value) ? NOTHING : seconds(Number(value) / 1000);
}

// "12 s ago", from epoch milliseconds.
export function ago(atMs, nowMs = Date.now()) {
  if (missing(atMs) || !atMs) return NOTHING;
  const passed = (nowMs - atMs) / 1000;
  return passed < 1 ? "just now" : `${seconds(Math.floor(passed))} ago`;
}

// Epoch milliseconds as the local time of day, "14:03:22".
export function clock(atMs) {
  return missing(atMs) || !atMs ? NOTHING : clockTime.format(atMs);
}

// Epoch milliseconds as local day and time.
export function day(atMs) {
  return missing(atMs) || !atMs ? NOTHING : dayTime.format(atMs);
}

// 1536 -> "1.5 KiB".
export function bytes(value) {
  if (missing(value)) return NOTHING;
  let n = Number(value);
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (Math.abs(n) < 1024) return unit === "B" ? `${n} B` : `${n.toFixed(n < 10 ? 1 : 0)} ${unit}`;
    n /= 1024;
  }
  return `${n.toFixed(1)} TiB`;
}
