// What is counted of realtime clients, by lib/crowd.js in JavaScript or by k6/x/realtime in Go.

import { Counter, Trend } from "k6/metrics";

export const connections = new Counter("rt_connections");
export const events = new Counter("rt_events");
export const lost = new Counter("rt_lost");
export const repeated = new Counter("rt_repeated");
export const reordered = new Counter("rt_reordered");
export const errors = new Counter("rt_errors");
export const latency = new Trend("rt_latency", true);

// k6 does not look at the threshold of a metric that nobody has ever added to: then "no event came" would pass.
export function begin() {
  for (const counter of [connections, events, lost, repeated, reordered, errors]) counter.add(0);
}

// The thresholds of every script: nothing lost, repeated, out of order or failed, and something happened at all.
export function thresholds(others = {}) {
  return {
    rt_connections: ["count>0"],
    rt_events: ["count>0"],
    rt_lost: ["count==0"],
    rt_repeated: ["count==0"],
    rt_reordered: ["count==0"],
    rt_errors: ["count==0"],
    http_req_failed: ["rate==0"],
    ...others,
  };
}

// For `summaryTrendStats`: what lib/summary.js shows.
export const STATS = ["min", "med", "p(95)", "p(99)", "max"];
