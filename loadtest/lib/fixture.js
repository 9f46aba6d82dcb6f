// What the scripts need on the server: three collections and some users. `prepare` is a script's setup(), `remove` its
// teardown(). Nothing else on the server is touched.

import exec from "k6/execution";
import { Api, records } from "./api.js";
import { email, keep, password, url, users } from "./config.js";
import { begin } from "./metrics.js";

const AUTHENTICATED = '@request.auth.id != ""';

// Ids of their own let a relation name its collection before that exists.
const USERS = "loadusers000001";

const COLLECTIONS = [
  { id: USERS, name: "load_users", type: "auth", fields: [] },
  {
    id: "loaditems000001",
    name: "load_items",
    type: "base",
    ...open(),
    fields: [
      { name: "title", type: "text", required: true },
      { name: "number", type: "number" },
      { name: "active", type: "bool" },
      { name: "owner", type: "relation", collectionId: USERS, maxSelect: 1, cascadeDelete: false },
      { name: "created", type: "autodate", onCreate: true },
    ],
    indexes: ["CREATE INDEX `idx_load_items_number` ON `load_items` (`number`)"],
  },
  {
    // A record for every writer, which it updates: `n` is how many times, `sent` when, in milliseconds since 1970.
    id: "loadevents00001",
    name: "load_events",
    type: "base",
    ...open(),
    fields: [
      { name: "run", type: "text" },
      { name: "writer", type: "text" },
      { name: "n", type: "number" },
      { name: "sent", type: "number" },
      { name: "payload", type: "text" },
    ],
    indexes: ["CREATE INDEX `idx_load_events_run` ON `load_events` (`run`)"],
  },
];

function open() {
  const rules = ["listRule", "viewRule", "createRule", "updateRule", "deleteRule"];
  return Object.fromEntries(rules.map((rule) => [rule, AUTHENTICATED]));
}

// Creates what is missing; may run any number of times. What it returns is handed to every VU: `items` is how many records
// of load_items there shall be at least.
export function prepare(items = 0) {
  const superuser = logIn();
  const { rateLimits } = superuser.demand("GET", "/api/settings");
  if (rateLimits?.enabled) console.warn("The server's rate limits are on: expect refused requests (429).");
  superuser.demand("PUT", "/api/collections/import", { collections: COLLECTIONS, deleteMissing: false });
  begin();
  const known = fill(superuser, "load_items", items, (number) => {
    return { title: `Item ${number}`, number, active: number % 2 === 0 };
  });
  return {
    tokens: tokens(superuser),
    items: known.slice(0, items).map(({ id }) => id),
    // Events of other runs are not this one's.
    run: Date.now().toString(36),
  };
}

export function remove() {
  if (keep) return;
  const superuser = logIn();
  for (const { name } of [...COLLECTIONS].reverse()) superuser.demand("DELETE", `/api/collections/${name}`);
}

function logIn() {
  if (!email || !password) {
    exec.test.abort("HEADWATER_EMAIL and HEADWATER_PASSWORD must be those of a superuser of " + url);
  }
  const path = "/api/collections/_superusers/auth-with-password";
  return new Api(new Api().demand("POST", path, { identity: email, password }, "setup").token);
}

// A user whose password is known.
export function account() {
  const [email, password] = [`load_${random(12)}@example.com`, random(20)];
  logIn().demand("POST", records("load_users"), { email, password, passwordConfirm: password }, "setup");
  return { email, password };
}

// Creates records until there are so many, at most 1,000, and returns them.
function fill(superuser, collection, count, body) {
  const query = "?perPage=1000&skipTotal=true&sort=id&fields=id";
  const known = superuser.demand("GET", records(collection) + query).items;
  while (known.length < count) {
    known.push(superuser.demand("POST", records(collection), body(known.length + 1), "setup"));
  }
  return known;
}

// Logs users in by a superuser's power: nobody knows their passwords.
function tokens(superuser) {
  const known = fill(superuser, "load_users", users, () => {
    const password = random(30);
    return { email: `load_${random(12)}@example.com`, password, passwordConfirm: password, verified: true };
  });
  return known.slice(0, users).map(({ id }) => {
    return superuser.demand("POST", `/api/collections/load_users/impersonate/${id}`, {}).token;
  });
}

export function random(length) {
  let result = "";
  while (result.length < length) result += Math.random().toString(36).slice(2);
  return result.slice(0, length);
}

// Users of this VU, in turn.
export function tokenOf(data, index = exec.vu.idInTest) {
  return data.tokens[index % data.tokens.length];
}
