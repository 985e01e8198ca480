// Telemetry by release and hardware, as series for charts and rows for tables.

import { call } from "/app/data/api.js";

export const SPANS = { "1 h": 3600000, "6 h": 21600000, "24 h": 86400000, "7 d": 604800000 };
const POINTS = 120;

export function stepOf(span) {
  return Math.max(5000, Math.ceil(span / POINTS / 5000) * 5000);
}

export async function ask(metric, by, span, model, step = stepOf(span)) {
  const answer = await call("POST", "/v1/telemetry/query", { metric, by, since_ms: span, step_ms: step,
    quantiles: [0.5, 0.95], ...(model ? { model } : {}) });
  return answer.series || [];
}

// Points as [at, low, high]; those without values are left out.
export function histogram(series) {
  return series.points.filter((p) => p[1] > 0).map((p) => [p[0], p[2] / 1000, p[3] / 1000]);
}

export function gauge(series, factor = 1) {
  return series.points.filter((p) => p[1] > 0).map((p) => [p[0], p[3] * factor, p[4] * factor]);
}

export const sumOf = (series) => series.sum ?? series.points.reduce((n, p) => n + p[1], 0);

// Errors alone say nothing: of how many requests, point by point.
export function rates(errors, requests) {
  const failed = new Map(errors ? errors.points.map((p) => [p[0], p[1]]) : []);
  return requests.points.filter((p) => p[1] > 0).map((p) => {
    const share = 100 * (failed.get(p[0]) || 0) / p[1];
    return [p[0], share, share];
  });
}

// Why a request leaves its model, as agent/core/fallback.def has it.
const WHY = ["down", "loading", "queue", "long", "form", "app"];

// Series in which a request left the device, with the counts of each reason.
// Requests that were answered elsewhere are not among `requests`.
export async function awayBy(by, span, model) {
  const [home, failed, ...away] = await Promise.all(["requests", "away_failed", ...WHY.map((word) => `away_${word}`)]
    .map((metric) => ask(metric, by, span, model, span)));
  const keyOf = (s) => by.map((one) => s.key[one]).join("\n");
  const count = (list, key) => list.filter((s) => keyOf(s) === key).reduce((n, s) => n + sumOf(s), 0);
  const keys = new Map([failed, ...away].flat().map((s) => [keyOf(s), s.key]));
  return [...keys].map(([key, names]) => {
    const why = WHY.map((word, i) => [word, count(away[i], key)]).filter(([, n]) => n > 0);
    const left = why.reduce((sum, [, n]) => sum + n, 0);
    return { key: names, left, why, failed: count(failed, key), all: count(home, key) + left };
  }).filter((r) => r.left > 0 || r.failed > 0).sort((a, b) => b.left / Math.max(b.all, 1) - a.left / Math.max(a.all, 1));
}
