// One writer per VU: it updates a record of its own, and counts.

import exec from "k6/execution";
import { Api, records } from "./api.js";
import { payload } from "./config.js";
import { random, tokenOf } from "./fixture.js";
import { errors } from "./metrics.js";

// This VU's record, from its first write on.
let record = null;
let n = 0;
let writer = "";

// Makes the next change. `now` is the clock that the clients compare with.
export function write(data, now = Date.now) {
  const api = new Api(tokenOf(data));
  if (!record) [n, writer] = [0, `${exec.vu.idInTest}-${random(6)}`];
  n++;
  const body = { n, sent: now() };
  const response = record
    ? api.request("PATCH", `${records("load_events")}/${record}`, body, "write")
    : api.request("POST", records("load_events"), { ...body, run: data.run, writer, payload: "x".repeat(payload) }, "write");
  if (response.status === 200) {
    record = response.json("id");
    return true;
  }
  // Whether it was written is unknown. Under another name, counting begins anew, and nothing is taken for lost that
  // never was.
  record = null;
  errors.add(1);
  return false;
}

// How many changes each writer of this run has made, as the server says.
export function counters(data) {
  const filter = encodeURIComponent(`run = "${data.run}"`);
  const query = `?perPage=500&skipTotal=true&fields=writer,n&filter=${filter}`;
  const { items } = new Api(tokenOf(data)).demand("GET", records("load_events") + query, undefined, "counters");
  return Object.fromEntries(items.map(({ writer, n }) => [writer, n]));
}
