// Numbers for people.

// A device may say anything: an object can refuse to become text.
export function text(value) {
  return typeof value === "string" || typeof value === "number" ? String(value) : "–";
}

export const number = (value) => typeof value === "number"
  ? Math.round(value).toLocaleString("en") : "–";

export const many = (n, noun) => `${number(n)} ${noun}${n === 1 ? "" : "s"}`;

export function bytes(value) {
  if (typeof value !== "number") {
    return "–";
  }
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[unit]}`;
}

export function duration(ms) {
  if (typeof ms !== "number" || !Number.isFinite(ms)) {
    return "–";
  }
  if (ms < 1000) {
    return `${ms < 10 && ms > 0 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
  }
  const s = Math.floor(ms / 1000);
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s`
    : s < 3600 ? `${Math.floor(s / 60)} m ${s % 60} s`
      : s < 172800 ? `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} m`
        : `${Math.floor(s / 86400)} d`;
}
