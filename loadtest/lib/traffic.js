// Ordinary requests on load_items, as apps make them.

import exec from "k6/execution";
import { check } from "k6";
import { Api, records } from "./api.js";
import { tokenOf } from "./fixture.js";

const items = records("load_items");

// For prepare(): records to read from.
export const ITEMS = 500;

// Thresholds by operation, in milliseconds; without a threshold k6 has no figures of them for the summary.
export function durations(p95) {
  const ops = ["list", "view", "create", "update", "delete"];
  return Object.fromEntries(ops.map((op) => [`http_req_duration{op:${op}}`, [`p(95)<${p95}`]]));
}

// Three lists of four: a page, filtered and sorted, with its owner, and with the total. The rest are views of one record.
export function read(data) {
  const api = caller(data);
  const turn = exec.scenario.iterationInTest % 4;
  if (turn === 3) {
    const response = api.request("GET", `${items}/${any(data.items)}`, undefined, "view");
    check(response, { "a record is viewed": ({ status }) => status === 200 });
    return;
  }
  const number = Math.floor(Math.random() * ITEMS);
  const filter = encodeURIComponent(`number > ${number} && active = true`);
  const query = ["&skipTotal=true", "&skipTotal=true&expand=owner", ""][turn];
  const response = api.request("GET", `${items}?perPage=20&sort=-number&filter=${filter}${query}`, undefined, "list");
  check(response, { "a page is listed": ({ status }) => status === 200 });
}

// A record comes, changes three times, and goes: the table stays as large as it was.
export function change(data) {
  const api = caller(data);
  const created = api.request("POST", items, { title: `Item of ${exec.vu.idInTest}`, number: 1 }, "create");
  if (!check(created, { "a record is created": ({ status }) => status === 200 })) return;
  const path = `${items}/${created.json("id")}`;
  for (let i = 2; i <= 4; i++) {
    const updated = api.request("PATCH", path, { "number+": 1 }, "update");
    check(updated, { "a record counts up": (response) => response.status === 200 && response.json("number") === i });
  }
  check(api.request("DELETE", path, undefined, "delete"), { "a record is deleted": ({ status }) => status === 204 });
}

const caller = (data) => new Api(tokenOf(data, exec.scenario.iterationInTest));
const any = (list) => list[Math.floor(Math.random() * list.length)];
