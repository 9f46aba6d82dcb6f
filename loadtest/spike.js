// Everybody comes at once, and goes: does the server stay up, lose nothing, and recover?
//
//   k6 run loadtest/spike.js
//   CLIENTS=5000 READS=1000 k6 run loadtest/spike.js

import { number, seconds, settle } from "./lib/config.js";
import { after, Crowd } from "./lib/crowd.js";
import { prepare, remove } from "./lib/fixture.js";
import { STATS, thresholds } from "./lib/metrics.js";
import { summary } from "./lib/summary.js";
import { durations, ITEMS, read } from "./lib/traffic.js";
import { write } from "./lib/writer.js";

// At the peak: clients, and reads a second.
const [clients, reads] = [number("CLIENTS", 2000), number("READS", 300)];
const perVU = Math.min(clients, 20);
// How long it takes up, how long the peak is, and how long it takes down.
const [up, peak, down] = [seconds("UP", "10s"), seconds("PEAK", "30s"), seconds("DOWN", "10s")];
const stay = 5;

const stages = (height) => [
  { duration: `${up}s`, target: height },
  { duration: `${peak}s`, target: height },
  { duration: `${down}s`, target: 0 },
];

export const options = {
  scenarios: {
    clients: {
      executor: "ramping-vus",
      exec: "listen",
      startVUs: 0,
      stages: stages(Math.ceil(clients / perVU)),
      // Nobody is cut off: they leave.
      gracefulRampDown: `${stay * 2 + settle + 60}s`,
      gracefulStop: `${stay * 2 + settle + 60}s`,
    },
    reads: {
      executor: "ramping-arrival-rate",
      exec: "read",
      startRate: 0,
      timeUnit: "1s",
      stages: stages(reads),
      preAllocatedVUs: Math.ceil(reads / 5),
      maxVUs: Math.max(2, reads * 2),
    },
    writer: {
      executor: "constant-arrival-rate",
      exec: "write",
      rate: 2,
      duration: `${up + peak + down}s`,
      preAllocatedVUs: 1,
      maxVUs: 1,
    },
  },
  thresholds: thresholds({
    rt_latency: [`p(95)<${number("LATENCY", 2000)}`],
    checks: ["rate==1"],
    "http_req_duration{op:list}": durations(number("P95", 1000))["http_req_duration{op:list}"],
    "http_req_duration{op:view}": durations(number("P95", 1000))["http_req_duration{op:view}"],
  }),
  summaryTrendStats: STATS,
  setupTimeout: "5m",
};

export const setup = () => prepare(ITEMS);
export const teardown = remove;
export const handleSummary = summary("spike");
export { read, write };

export async function listen(data) {
  const crowd = await Crowd.open(data, perVU);
  await after(stay * (1 + Math.random()));
  await crowd.leave();
}
