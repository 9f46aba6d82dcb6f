// 10,000 clients on server-sent events, and a change every two seconds that goes to all of them. Needs our own k6, which
// reads the streams in Go and so hardly adds to the latency:
//
//   (cd loadtest/k6 && go build -o k6 .)
//   loadtest/k6/k6 run loadtest/hold-sse.js
//   PROTOCOL=websocket loadtest/k6/k6 run loadtest/hold-sse.js
//
// Against a server on the same machine, above some 20,000 clients: --local-ips=127.0.0.2-127.0.0.9.

import { sleep } from "k6";
import exec from "k6/execution";
import realtime from "k6/x/realtime";
import { number, seconds, settle, text, url } from "./lib/config.js";
import { prepare, remove } from "./lib/fixture.js";
import { STATS, thresholds } from "./lib/metrics.js";
import { summary } from "./lib/summary.js";
import { counters, write as writeOnce } from "./lib/writer.js";

const clients = number("CLIENTS", 10000);
const protocol = text("PROTOCOL", "sse");
const perVU = Math.min(clients, number("PER_VU", 2500));
const vus = Math.ceil(clients / perVU);
// Time for all to connect, and time for which they are held then.
const [ramp, hold] = [seconds("RAMP", "20s"), seconds("HOLD", "1m")];
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
    rt_latency: [`p(95)<${number("LATENCY", 1000)}`],
  }),
  summaryTrendStats: STATS,
  setupTimeout: "5m",
};

export const setup = () => prepare();
export const teardown = remove;
export const handleSummary = summary(`hold-sse (${protocol})`);

export function write(data) {
  writeOnce(data, () => realtime.now());
}

export function listen(data) {
  const first = exec.scenario.iterationInTest * perVU;
  const { tokens, run } = data;
  const count = Math.min(perVU, clients - first);
  const crowd = realtime.open({ url, protocol, count, topic: "load_events/*", tokens, run });
  crowd.expectAfter(counters(data));
  // The last change is made just before the end.
  sleep(Math.max(0, (exec.scenario.startTime - Date.now()) / 1000 + ramp + hold + 1));
  crowd.settle(counters(data), settle);
  crowd.close();
}
