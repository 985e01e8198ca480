// Telemetry by release and hardware, as series for charts and rows for tables.

import { call } from "/app/data/api.js";

export const SPANS = { "1 h": 3600000, "6 h": 21600000, "24 h": 86400000, "7 d": 604800000 };
const POINTS = 120;

export function stepOf(span) {
  return Math.max(5000, Math.ceil(span / POINTS / 5000) * 5000);
}

export async function ask(metric, by, span, model) {
  const answer = await call("POST", "/v1/telemetry/query", { metric, by, since_ms: span, step_ms: stepOf(span),
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
