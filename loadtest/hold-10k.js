// 10,000 clients on WebSockets, held by k6 as everybody has it, and a change every two seconds that goes to all of them.
//
//   k6 run loadtest/hold-10k.js
//
// k6 itself needs about 1 GB and a core for it, and half a second for a burst of 10,000 messages: the latency is mostly
// k6's. Against a server on the same machine, above some 14,000 clients: --local-ips=127.0.0.2-127.0.0.9.

import exec from "k6/execution";
import { number, seconds, settle } from "./lib/config.js";
import { after, Crowd } from "./lib/crowd.js";
import { prepare, remove } from "./lib/fixture.js";
import { STATS, thresholds } from "./lib/metrics.js";
import { summary } from "./lib/summary.js";
import { write } from "./lib/writer.js";

const clients = number("CLIENTS", 10000);
const perVU = Math.min(clients, number("PER_VU", 200));
const vus = Math.ceil(clients / perVU);
// Time for all to connect, and time for which they are held then.
const [ramp, hold] = [seconds("RAMP", "30s"), seconds("HOLD", "1m")];
const every = seconds("EVERY", "2s");

export const options = {
  scenarios: {
    clients: {
      executor: "per-vu-iterations",
      exec: "listen",
      vus,
      maxDuration: `${ramp + hold + settle + 120}s`,
    },
    writer: {
      executor: "constant-arrival-rate",
      exec: "write",
      startTime: `${ramp}s`,
      duration: `${hold}s`,
      rate: 1,
      timeUnit: `${every * 1000}ms`,
      preAllocatedVUs: 1,
      maxVUs: 1,
    },
  },
  thresholds: thresholds({
    rt_connections: [`count>=${clients}`],
    rt_latency: [`p(95)<${number("LATENCY", 3000)}`],
  }),
  summaryTrendStats: STATS,
  setupTimeout: "5m",
};

export const setup = () => prepare();
export const teardown = remove;
export const handleSummary = summary("hold-10k");
export { write };

export async function listen(data) {
  const first = exec.scenario.iterationInTest * perVU;
  const crowd = await Crowd.open(data, Math.min(perVU, clients - first), { timed: 10 });
  // The last change is made just before the end.
  await after((exec.scenario.startTime - Date.now()) / 1000 + ramp + hold + 1);
  await crowd.leave();
}
