// What a script says at its end: what happened, how long it took, and which thresholds failed.

import { url } from "./config.js";

// A script's handleSummary. SUMMARY names a file for all figures as JSON.
export function summary(name) {
  return (data) => {
    const result = { stdout: `\n${describe(name, data)}\n` };
    if (__ENV.SUMMARY) result[__ENV.SUMMARY] = JSON.stringify(data, null, 2);
    return result;
  };
}

function describe(name, { metrics, state }) {
  const value = (metric, key) => metrics[metric]?.values[key] ?? 0;
  const count = (metric) => whole(value(metric, "count"));
  const rows = [["took", `${(state.testRunDurationMs / 1000).toFixed(1)} s`]];

  if (metrics.rt_connections) {
    rows.push(["clients", `${count("rt_connections")} subscribed`]);
    rows.push(["events", `${count("rt_events")} received, ${whole(value("rt_events", "rate"))} a second on average`]);
    rows.push(["", `${count("rt_lost")} lost, ${count("rt_repeated")} repeated, ${count("rt_reordered")} out of order`]);
    rows.push(["latency", times(metrics.rt_latency)]);
    rows.push(["errors", count("rt_errors")]);
  }
  if (metrics.http_reqs) {
    // Of this rate, what "passed" is what failed.
    const failed = whole(value("http_req_failed", "passes"));
    rows.push(["requests", `${count("http_reqs")}, ${failed} failed; ${times(metrics.http_req_duration)}`]);
    for (const [key, metric] of Object.entries(metrics)) {
      const op = /^http_req_duration\{op:(.*)\}$/.exec(key);
      if (op) rows.push([`  ${op[1]}`, times(metric)]);
    }
  }
  if (metrics.checks) {
    const { passes, fails } = metrics.checks.values;
    rows.push(["checks", `${whole(passes)} of ${whole(passes + fails)} held`]);
  }
  if (value("dropped_iterations", "count") > 0) {
    rows.push(["not done", `${count("dropped_iterations")} iterations: all VUs were still waiting for answers`]);
  }

  const broken = Object.entries(metrics).flatMap(([key, { thresholds = {} }]) => {
    return Object.entries(thresholds).filter(([, { ok }]) => !ok).map(([threshold]) => `${key}: ${threshold}`);
  });
  const verdict = metrics.iterations ? (broken.length > 0 ? "FAILED" : "passed") : "FAILED, it could not begin";
  const lines = rows.map(([title, text]) => `  ${title.padEnd(10)} ${text}`);
  return [`${name} on ${url}: ${verdict}`, ...lines, ...broken.map((one) => `  threshold  ${one} FAILED`)].join("\n");
}

function times(metric) {
  if (!metric) return "no times";
  const { med, "p(95)": p95, "p(99)": p99, max } = metric.values;
  return `p50 ${ms(med)}, p95 ${ms(p95)}, p99 ${ms(p99)}, max ${ms(max)}`;
}

const ms = (value) => (value < 10 ? `${value.toFixed(1)} ms` : value < 10000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`);
const whole = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
