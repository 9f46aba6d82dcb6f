// Hours of everyday: clients come and go, some write, some read. What grows, leaks or is forgotten shows in time.
//
//   DURATION=8h k6 run loadtest/soak.js
//
// Watch the server's memory and data directory beside it; both should level off.

import { sleep } from "k6";
import exec from "k6/execution";
import { number, seconds, settle } from "./lib/config.js";
import { after, Crowd } from "./lib/crowd.js";
import { prepare, remove } from "./lib/fixture.js";
import { STATS, thresholds } from "./lib/metrics.js";
import { summary } from "./lib/summary.js";
import { change, durations, ITEMS, read } from "./lib/traffic.js";
import { write as writeOnce } from "./lib/writer.js";

const duration = seconds("DURATION", "1h");
const clients = number("CLIENTS", 200);
const perVU = Math.min(clients, 10);
// How long a client stays: from half of it to one and a half.
const stay = seconds("STAY", "30s");
const writers = number("WRITERS", 2);
const every = seconds("EVERY", "1s");
const [reads, changes] = [number("READS", 10), number("CHANGES", 1)];

const arrivals = (exec, rate) => ({
  executor: "constant-arrival-rate",
  exec,
  rate,
  timeUnit: "1s",
  duration: `${duration}s`,
  preAllocatedVUs: 5,
  maxVUs: Math.max(5, rate * 2),
});

export const options = {
  scenarios: {
    clients: {
      executor: "constant-vus",
      exec: "listen",
      vus: Math.ceil(clients / perVU),
      duration: `${duration}s`,
      // The last ones are not cut off, but leave.
      gracefulStop: `${stay * 1.5 + settle + 60}s`,
    },
    writers: { executor: "constant-vus", exec: "write", vus: writers, duration: `${duration}s` },
    reads: arrivals("read", reads),
    changes: arrivals("change", changes),
  },
  thresholds: thresholds({
    rt_latency: [`p(95)<${number("LATENCY", 500)}`],
    checks: ["rate==1"],
    ...durations(number("P95", 250)),
  }),
  summaryTrendStats: STATS,
  setupTimeout: "5m",
};

export const setup = () => prepare(ITEMS);
export const teardown = remove;
export const handleSummary = summary("soak");
export { change, read };

export function write(data) {
  writeOnce(data);
  sleep(every);
}

export async function listen(data) {
  const crowd = await Crowd.open(data, perVU, { timed: 10 });
  const left = (exec.scenario.startTime - Date.now()) / 1000 + duration;
  await after(Math.min(stay * (0.5 + Math.random()), left));
  await crowd.leave();
}
