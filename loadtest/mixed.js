// Reads and writes at a fixed rate, with some clients listening: does the server keep up, and how long do answers take?
//
//   k6 run loadtest/mixed.js
//   READS=500 CHANGES=20 DURATION=5m k6 run loadtest/mixed.js

import exec from "k6/execution";
import { number, seconds, settle } from "./lib/config.js";
import { after, Crowd } from "./lib/crowd.js";
import { prepare, remove } from "./lib/fixture.js";
import { STATS, thresholds } from "./lib/metrics.js";
import { summary } from "./lib/summary.js";
import { change, durations, ITEMS, read } from "./lib/traffic.js";
import { write } from "./lib/writer.js";

const duration = seconds("DURATION", "1m");
// A second. A change is five writes: a record is created, updated three times and deleted.
const [reads, changes] = [number("READS", 100), number("CHANGES", 5)];
const clients = number("CLIENTS", 50);

// A fixed rate needs as many VUs as there are requests under way: at most as many as come in two seconds.
const arrivals = (exec, rate) => ({
  executor: "constant-arrival-rate",
  exec,
  rate,
  timeUnit: "1s",
  duration: `${duration}s`,
  preAllocatedVUs: Math.max(5, Math.ceil(rate / 5)),
  maxVUs: Math.max(5, rate * 2),
});

export const options = {
  scenarios: {
    reads: arrivals("read", reads),
    changes: arrivals("change", changes),
    writer: { executor: "constant-arrival-rate", exec: "write", rate: 1, duration: `${duration}s`, preAllocatedVUs: 1, maxVUs: 1 },
    clients: { executor: "per-vu-iterations", exec: "listen", vus: 1, maxDuration: `${duration + settle + 60}s` },
  },
  thresholds: thresholds({
    rt_connections: [`count>=${clients}`],
    rt_latency: [`p(95)<${number("LATENCY", 500)}`],
    checks: ["rate==1"],
    // One in a hundred may be late: k6 itself starts slowly.
    dropped_iterations: [`count<=${((reads + changes) * duration) / 100}`],
    ...durations(number("P95", 250)),
  }),
  summaryTrendStats: STATS,
  setupTimeout: "5m",
};

export const setup = () => prepare(ITEMS);
export const teardown = remove;
export const handleSummary = summary("mixed");
export { change, read, write };

export async function listen(data) {
  const crowd = await Crowd.open(data, clients);
  await after((exec.scenario.startTime - Date.now()) / 1000 + duration);
  await crowd.leave();
}
