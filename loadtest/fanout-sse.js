// How many events a second reach 1,000 clients when some writers write as fast as they are answered. Needs our own k6:
//
//   (cd loadtest/k6 && go build -o k6 .)
//   loadtest/k6/k6 run loadtest/fanout-sse.js
//   PROTOCOL=websocket loadtest/k6/k6 run loadtest/fanout-sse.js
//
// A server that answers before it delivers may be far ahead of its clients: what is under way at the end has SETTLE to
// arrive, and a client that falls behind too far is cut off, which counts as an error.

import { sleep } from "k6";
import exec from "k6/execution";
import realtime from "k6/x/realtime";
import { number, seconds, settle, text, url } from "./lib/config.js";
import { prepare, remove } from "./lib/fixture.js";
import { STATS, thresholds } from "./lib/metrics.js";
import { summary } from "./lib/summary.js";
import { counters, write as writeOnce } from "./lib/writer.js";

const clients = number("CLIENTS", 1000);
const protocol = text("PROTOCOL", "sse");
const writers = number("WRITERS", 4);
// Every writer waits so long after each answer; 0 for not at all.
const pause = seconds("PAUSE", "0s");
// Time for all to connect, and time for which is written then.
const [ramp, duration] = [seconds("RAMP", "5s"), seconds("DURATION", "20s")];

export const options = {
  scenarios: {
    clients: {
      executor: "per-vu-iterations",
      exec: "listen",
      vus: 1,
      maxDuration: `${ramp + duration + settle + 120}s`,
    },
    writers: { executor: "constant-vus", exec: "write", vus: writers, startTime: `${ramp}s`, duration: `${duration}s` },
  },
  thresholds: thresholds({
    rt_connections: [`count>=${clients}`],
    rt_latency: [`p(95)<${number("LATENCY", 2000)}`],
    "http_req_duration{op:write}": ["p(95)<1000"],
  }),
  summaryTrendStats: STATS,
  setupTimeout: "5m",
};

export const setup = () => prepare();
export const teardown = remove;
export const handleSummary = summary(`fanout-sse (${protocol})`);

export function write(data) {
  writeOnce(data, () => realtime.now());
  if (pause > 0) sleep(pause);
}

export function listen(data) {
  const { tokens, run } = data;
  const crowd = realtime.open({ url, protocol, count: clients, topic: "load_events/*", tokens, run });
  crowd.expectAfter(counters(data));
  // The last change is made just before the end.
  sleep(Math.max(0, (exec.scenario.startTime - Date.now()) / 1000 + ramp + duration + 1));
  crowd.settle(counters(data), settle);
  crowd.close();
}
