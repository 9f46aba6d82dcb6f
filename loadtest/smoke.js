// Every area once, in seconds: does this server work?
//
//   k6 run loadtest/smoke.js

import { check, group } from "k6";
import http from "k6/http";
import { clearTimeout, setTimeout } from "k6/timers";
import { WebSocket } from "k6/websockets";
import { Api, records } from "./lib/api.js";
import { url } from "./lib/config.js";
import { Crowd, TOPIC } from "./lib/crowd.js";
import { account, prepare, random, remove, tokenOf } from "./lib/fixture.js";
import { STATS, thresholds } from "./lib/metrics.js";
import { summary } from "./lib/summary.js";
import { write } from "./lib/writer.js";

const CLIENTS = 5;
const EVENTS = 10;

export const options = {
  scenarios: { smoke: { executor: "shared-iterations", vus: 1, iterations: 1, maxDuration: "1m" } },
  thresholds: thresholds({ checks: ["rate==1"], rt_events: [`count==${CLIENTS * EVENTS}`] }),
  summaryTrendStats: STATS,
};

export const setup = () => ({ ...prepare(), account: account() });
export const teardown = remove;
export const handleSummary = summary("smoke");

const items = records("load_items");
const users = records("load_users");
const status = (expected) => (response) => response.status === expected;

export default async function smoke(data) {
  const guest = new Api();
  const user = new Api(tokenOf(data));
  group("health", () => {
    check(guest.request("GET", "/api/health"), { "the server is healthy": status(200) });
  });
  group("logins", () => logins(guest, data));
  group("rules", () => rules(guest));
  group("records", () => crud(user));
  group("streams", () => {
    const { status, headers } = http.head(`${url}/api/realtime`);
    check(headers, { "streams are offered": () => status === 200 && headers["Content-Type"] === "text/event-stream" });
  });
  await conversation(user);
  await broadcast(data);
}

function logins(guest, data) {
  const [email, password] = [`load_${random(12)}@example.com`, random(20)];
  const user = new Api(tokenOf(data));
  const signUp = user.request("POST", users, { email, password, passwordConfirm: password }, "sign up", [403]);
  check(signUp, { "only superusers make users here": status(403) });

  const { email: known, password: secret } = data.account;
  const logIn = (identity, password, expected) =>
    guest.request("POST", "/api/collections/load_users/auth-with-password", { identity, password }, "login", expected);
  check(logIn(known, "wrong " + secret, [400]), { "a wrong password is refused": status(400) });
  const answer = logIn(known, secret);
  check(answer, { "a user logs in": (response) => response.status === 200 && response.json("record.email") === known });
  const token = answer.json("token");
  check(new Api(token).request("POST", "/api/collections/load_users/auth-refresh"), { "a token is renewed": status(200) });
}

function rules(guest) {
  const listed = guest.request("GET", items);
  check(listed, { "a guest's list is empty": (list) => list.status === 200 && list.json("items").length === 0 });
  check(guest.request("POST", items, { title: "x" }, "create", [400]), { "a guest creates nothing": status(400) });
  check(guest.request("GET", "/api/collections", undefined, "collections", [401, 403]), {
    "collections are for superusers": ({ status }) => status === 401 || status === 403,
  });
}

function crud(user) {
  const title = `Smoke ${random(8)}`;
  const created = user.request("POST", items, { title, number: 41, active: true }, "create");
  check(created, { "a record is created": status(200) });
  const path = `${items}/${created.json("id")}`;
  const viewed = user.request("GET", path, undefined, "view");
  check(viewed, { "it is viewed as it was created": ({ body }) => body === created.body });
  const updated = user.request("PATCH", path, { "number+": 1 }, "update");
  check(updated, { "its number counts up": (response) => response.json("number") === 42 });
  const filter = encodeURIComponent(`title = "${title}" && number = 42`);
  const list = user.request("GET", `${items}?filter=${filter}&sort=-created&expand=owner`, undefined, "list");
  check(list, { "it is found": (found) => found.json("totalItems") === 1 && found.json("items.0.title") === title });
  const invalid = user.request("PATCH", path, { title: "" }, "update", [400]);
  check(invalid, { "a mistake is named": (answer) => answer.json("data.title.code") === "validation_required" });
  check(user.request("DELETE", path, undefined, "delete"), { "it is deleted": status(204) });
  check(user.request("GET", path, undefined, "view", [404]), { "it is gone": status(404) });
}

// All that is said on one socket.
async function conversation(user) {
  const talk = new Talk();
  const connect = await talk.hear();
  check(connect, { "a socket is greeted": ({ type, clientId, seq }) => type === "connect" && clientId && /^\w+:\d+$/.test(seq) });
  talk.say({ id: 1, subscriptions: ["load_items/*"], token: user.token });
  check(await talk.hear(), { "it subscribes": ({ type, id }) => type === "ok" && id === 1 });

  const created = user.request("POST", items, { title: "heard" }, "create");
  check(await talk.hear(), {
    "it hears of a new record": ({ type, topic, action, record }) =>
      type === "event" && topic === "load_items/*" && action === "create" && record.title === "heard",
  });
  talk.say({ id: 2, type: "nonsense" });
  check(await talk.hear(), { "nonsense is refused, and no more": ({ type, id }) => type === "error" && id === 2 });
  talk.say({ id: 3, type: "unsubscribe", topics: ["load_items/*"] });
  check(await talk.hear(), { "it unsubscribes": ({ type, id }) => type === "ok" && id === 3 });
  user.request("DELETE", `${items}/${created.json("id")}`, undefined, "delete");
  talk.say({ id: 4, type: "subscribe", topics: [TOPIC] });
  check(await talk.hear(), { "it hears no more of what it left": ({ type, id }) => type === "ok" && id === 4 });
  talk.socket.close();
}

// A socket whose messages are awaited one by one; `{}` where none comes in time, or the socket is closed.
class Talk {
  constructor() {
    this.heard = [];
    this.waiting = [];
    this.socket = new WebSocket(url.replace(/^http/, "ws") + "/api/realtime");
    this.socket.onmessage = ({ data }) => this.give(JSON.parse(data));
    this.socket.onerror = ({ error }) => console.warn(`the socket: ${error}`);
    this.socket.onclose = () => this.give({});
  }

  give(message) {
    const waiting = this.waiting.shift();
    if (waiting) waiting(message);
    else this.heard.push(message);
  }

  hear() {
    if (this.heard.length > 0) return Promise.resolve(this.heard.shift());
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.give({}), 5000);
      this.waiting.push((message) => {
        clearTimeout(timer);
        resolve(message);
      });
    });
  }

  say(message) {
    this.socket.send(JSON.stringify(message));
  }
}

async function broadcast(data) {
  const crowd = await Crowd.open(data, CLIENTS);
  for (let i = 0; i < EVENTS; i++) check(write(data), { "an event is written": (written) => written });
  await crowd.leave();
}
