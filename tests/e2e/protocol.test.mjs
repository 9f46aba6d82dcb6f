// headwater.js against a server of the test's own making, which says things in an order that a real one rarely does.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { before, beforeEach, test } from "node:test";

import PocketBase from "pocketbase";

import { Queue } from "./server.mjs";

let Headwater;
let sockets;

// The server's end of a socket.
class FakeSocket {
  sent = new Queue();

  constructor(url) {
    this.url = url;
    sockets.put(this);
  }

  send(text) {
    this.sent.put(JSON.parse(text));
  }

  close() {}

  tell(message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  event(topic, number, action, record) {
    this.tell({ type: "event", topic, seq: `e:${number}`, action, record });
  }

  // Grants the next request.
  async grant(number, expected) {
    const { id, ...message } = await this.sent.next();
    if (expected) assert.deepEqual(message, expected);
    this.tell({ type: "ok", id, seq: `e:${number}` });
    // Each message is an event of its own, with whatever follows from it.
    await new Promise(setImmediate);
    return message;
  }

  async refuse(status) {
    const { id } = await this.sent.next();
    this.tell({ type: "error", id, status, message: "No.", data: { why: 1 } });
  }
}

before(async () => {
  // By its text, which is a module wherever it lies.
  const code = await readFile(new URL("../../static/headwater.js", import.meta.url));
  ({ Headwater } = await import(`data:text/javascript;base64,${code.toString("base64")}`));
});

beforeEach(() => {
  sockets = new Queue();
  globalThis.WebSocket = FakeSocket;
});

// A client that has these topics, and its socket. What they tell is put into `events` as topic, position and record.
async function subscribed(t, topics, at = 10) {
  const hw = new Headwater("http://127.0.0.1:1");
  t.after(() => hw.close());
  const events = new Queue();
  const asked = topics.map((topic) =>
    hw.subscribe(topic, ({ seq, record }) => events.put([topic, seq, record.n]), {
      onReset: ({ reason }) => events.put([topic, reason]),
    }));
  const socket = await sockets.next();
  assert.equal(socket.url, "ws://127.0.0.1:1/api/realtime");
  socket.tell({ type: "connect", clientId: "c", seq: `e:${at}` });
  for (const topic of topics) await socket.grant(at, { type: "subscribe", topics: [topic] });
  return { hw, events, socket, stops: await Promise.all(asked) };
}

// The connection ends, and the client comes back.
async function cut(socket, at = 99) {
  socket.onclose();
  const next = await sockets.next();
  next.tell({ type: "connect", clientId: "d", seq: `e:${at}` });
  return next;
}

test("after an interruption the topics go on from the last position", async (t) => {
  const { events, socket, hw } = await subscribed(t, ["a/*", "b/*"]);
  socket.event("a/*", 12, "create", { n: 1 });
  let next = await cut(socket);
  await next.grant(99, { type: "subscribe", topics: ["a/*", "b/*"], since: "e:12" });
  next.event("b/*", 13, "create", { n: 2 });
  next.tell({ type: "position", seq: "e:20" });
  next = await cut(next);
  await next.grant(99, { type: "subscribe", topics: ["a/*", "b/*"], since: "e:20" });
  assert.deepEqual(await events.take(2), [["a/*", "e:12", 1], ["b/*", "e:13", 2]]);
  // A topic that comes now has no past.
  const stop = hw.subscribe("c/*", () => {});
  await next.grant(30, { type: "subscribe", topics: ["c/*"] });
  await stop;
  next = await cut(next);
  await next.grant(99, { type: "subscribe", topics: ["a/*", "b/*", "c/*"], since: "e:30" });
});

test("what was asked for and not answered before an interruption is asked for again, without a past", async (t) => {
  const { hw, socket } = await subscribed(t, ["a/*"]);
  const stop = hw.subscribe("b/*", () => {});
  assert.deepEqual((await socket.sent.next()).topics, ["b/*"]);
  const next = await cut(socket);
  await next.grant(99, { type: "subscribe", topics: ["a/*"], since: "e:10" });
  await next.grant(99, { type: "subscribe", topics: ["b/*"] });
  await stop;
});

test("a change seen by several topics is told once to each, wherever the connection ends", async (t) => {
  const { events, socket } = await subscribed(t, ["a/*", "a/r"]);
  // Changes 11 and 12 of one record. The first one is told to both topics, the second one only to the first.
  socket.event("a/*", 10, "update", { id: "r", n: 11 });
  socket.event("a/r", 11, "update", { id: "r", n: 11 });
  socket.event("a/*", 11, "update", { id: "r", n: 12 });
  const next = await cut(socket);
  await next.grant(99, { type: "subscribe", topics: ["a/*", "a/r"], since: "e:11" });
  // Told again in another order, so at another position; then change 13, at the same one as 12 was.
  next.event("a/r", 11, "update", { id: "r", n: 12 });
  next.event("a/*", 12, "update", { id: "r", n: 12 });
  next.event("a/*", 12, "update", { id: "r", n: 13 });
  next.event("a/r", 13, "update", { id: "r", n: 13 });
  assert.deepEqual((await events.take(6)).map(([topic, , n]) => [topic, n]), [
    ["a/*", 11],
    ["a/r", 11],
    ["a/*", 12],
    ["a/r", 12],
    ["a/*", 13],
    ["a/r", 13],
  ]);
});

test("two changes that look the same are two", async (t) => {
  const { events, socket } = await subscribed(t, ["a/*"]);
  socket.event("a/*", 11, "update", { id: "r", n: 1 });
  const next = await cut(socket);
  await next.grant(99);
  next.event("a/*", 12, "update", { id: "r", n: 1 });
  assert.deepEqual(await events.take(2), [["a/*", "e:11", 1], ["a/*", "e:12", 1]]);
});

test("more topics than a message holds are resumed one after the other, from where the last one has to", async (t) => {
  const topics = Array.from({ length: 12 }, (_, n) => `${n}/${"x".repeat(2000)}`);
  const { events, socket } = await subscribed(t, topics);
  const [first, last] = [topics[0], topics[11]];
  socket.event(first, 11, "create", { n: 1 });
  const resumed = async (socket, since) => {
    const sets = [];
    while (sets.flat().length < topics.length) {
      const message = await socket.grant(20);
      assert.equal(message.since, since);
      assert.ok(JSON.stringify(message).length < 64 * 1024);
      sets.push(message.topics);
    }
    assert.ok(sets.length > 1);
    assert.deepEqual(sets.flat(), topics);
  };
  let next = await cut(socket);
  await resumed(next, "e:11");
  // The first topic is told everything, the last one nothing yet.
  next.event(first, 15, "create", { n: 2 });
  next = await cut(next);
  await resumed(next, "e:11");
  next.event(first, 15, "create", { n: 2 });
  next.event(first, 16, "create", { n: 3 });
  next.event(last, 12, "create", { n: 4 });
  await next.grant(20, { type: "subscribe", topics: [] });
  next.event(last, 21, "create", { n: 5 });
  next = await cut(next);
  await resumed(next, "e:21");
  assert.deepEqual(await events.take(5), [
    [first, "e:11", 1],
    [first, "e:15", 2],
    [first, "e:16", 3],
    [last, "e:12", 4],
    [last, "e:21", 5],
  ]);
});

test("a reset is told to all, and counts from its own position", async (t) => {
  const { hw, events, socket } = await subscribed(t, ["a/*", "b/*"]);
  hw.onReset(({ reason, seq }) => events.put(["all", reason, seq]));
  hw.onReset(() => events.put("not me"))();
  let next = await cut(socket, 5);
  await next.grant(5);
  next.tell({ type: "reset", seq: "f:5", reason: "epoch" });
  next.event("a/*", 6, "create", { n: 1 });
  assert.deepEqual(await events.take(4), [["all", "epoch", "f:5"], ["a/*", "epoch"], ["b/*", "epoch"], ["a/*", "e:6", 1]]);
});

test("a topic that is refused when the client comes back says so, the others go on", async (t) => {
  const { events, socket } = await subscribed(t, ["a/*", "b/*"]);
  let next = await cut(socket);
  await next.refuse(403);
  await next.grant(99, { type: "subscribe", topics: ["a/*"], since: "e:10" });
  await next.refuse(403);
  assert.deepEqual(await events.next(), ["b/*", "refused"]);
  next = await cut(next);
  await next.grant(99, { type: "subscribe", topics: ["a/*"], since: "e:10" });
});

test("a token is said first, and again when it changes", async (t) => {
  const hw = new Headwater("http://127.0.0.1:1", { token: "one" });
  t.after(() => hw.close());
  const stop = hw.subscribe("a/*", () => {});
  let socket = await sockets.next();
  socket.tell({ type: "connect", clientId: "c", seq: "e:1" });
  await socket.grant(1, { type: "auth", token: "one" });
  await socket.grant(1, { type: "subscribe", topics: ["a/*"] });
  await stop;
  const changed = hw.setToken("two");
  await socket.grant(1, { type: "auth", token: "two" });
  await changed;
  // One that is not good makes a guest.
  const third = hw.setToken("three");
  await socket.refuse(401);
  await socket.grant(1, { type: "auth", token: null });
  await third;
  socket = await cut(socket);
  // Unless there is another one by then.
  await socket.sent.next().then(({ id, token }) => {
    assert.equal(token, "three");
    hw.setToken("four");
    return new Promise(setImmediate).then(() => socket.tell({ type: "error", id, status: 401 }));
  });
  await socket.grant(1, { type: "subscribe", topics: ["a/*"], since: "e:1" });
  await socket.grant(1, { type: "auth", token: "four" });
  // And nothing takes it away again.
  hw.subscribe("b/*", () => {}).catch(() => {});
  await socket.grant(1, { type: "subscribe", topics: ["b/*"] });
});

test("messages that extensions send may have any members, and are never taken for repeats", async (t) => {
  const { hw, socket } = await subscribed(t, ["a/*", "b/*"]);
  const heard = new Queue();
  const asked = hw.subscribe('chat "1"', heard.put);
  await socket.grant(10);
  await asked;
  const say = (socket) =>
    socket.onmessage({ data: '{"type":"event","topic":"chat \\"1\\"","seq":"e:10","type":"typing","topic":{"id":1},"id":7}' });
  say(socket);
  say(socket);
  const next = await cut(socket);
  say(next);
  const message = { type: "typing", topic: { id: 1 }, id: 7, seq: "e:10" };
  assert.deepEqual(await heard.take(3), [message, message, message]);
});

test("a callback that throws does not stop the others", async (t) => {
  const reported = new Queue();
  globalThis.reportError = reported.put;
  t.after(() => delete globalThis.reportError);
  const { hw, events, socket } = await subscribed(t, ["a/*"]);
  const thrown = new Error("of the page's own");
  await hw.subscribe("a/*", () => {
    throw thrown;
  });
  await hw.subscribe("a/*", ({ record }) => events.put(record.n));
  socket.event("a/*", 11, "create", { n: 1 });
  assert.deepEqual(await events.take(2), [["a/*", "e:11", 1], 1]);
  assert.equal(await reported.next(), thrown);
});

test("options are written into the topic as the official SDK does it", async (t) => {
  // The SDK waits for its stream for a while.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  globalThis.EventSource = class {
    addEventListener() {}
    close() {}
  };
  t.after(() => delete globalThis.EventSource);
  const options = { filter: 'a ~ "+ä"', expand: "b", headers: { "X-Token": "1" }, query: { more: 1 } };
  const pb = new PocketBase("http://127.0.0.1:1");
  pb.realtime.subscribe("a/*", () => {}, structuredClone(options)).catch(() => {});
  const [expected] = Object.keys(pb.realtime.subscriptions);
  const hw = new Headwater("http://127.0.0.1:1");
  t.after(() => hw.close());
  hw.subscribe("a/*", () => {}, options).catch(() => {});
  const socket = await sockets.next();
  socket.tell({ type: "connect", clientId: "c", seq: "e:1" });
  assert.deepEqual((await socket.grant(1)).topics, [expected]);
});

// --- live queries: the client's side, against what the specification says of the server's ---

const names = (records) => records.map(({ name }) => name).join("");

async function live(t, options) {
  const hw = new Headwater("http://127.0.0.1:1");
  t.after(() => hw.close());
  const shown = new Queue();
  const asked = hw.live("posts", options, (records, { action }) => shown.put([action, names(records)]));
  const socket = await sockets.next();
  socket.tell({ type: "connect", clientId: "c", seq: "e:1" });
  const { topics } = await socket.grant(1);
  await asked;
  return { hw, shown, socket, topic: topics[0] };
}

function snapshot(socket, topic, items) {
  const page = { page: 1, perPage: 30, totalItems: items.length, totalPages: 1 };
  socket.tell({ type: "event", topic, seq: "e:1", action: "snapshot", ...page, items });
}

const record = (id, rank, name = id) => ({ id, rank, name });

test("a live query keeps its records in order", async (t) => {
  const { shown, socket, topic, hw } = await live(t, { sort: "-rank,name", filter: "rank > 0", perPage: 30 });
  const options = JSON.parse(decodeURIComponent(topic.split("options=")[1]));
  assert.equal(topic.split("?")[0], "posts/*");
  assert.deepEqual(options, { query: { sort: "-rank,name", filter: "rank > 0", perPage: 30 }, live: true });
  const say = (event) => socket.tell({ type: "event", topic, seq: "e:2", ...event });

  say({ action: "leave", id: "before the snapshot" });
  snapshot(socket, topic, [record("c", 3), record("a", 2), record("b", 2)]);
  say({ action: "enter", record: record("d", 2) });
  say({ action: "enter", record: record("e", 9) });
  say({ action: "change", record: record("c", 1) });
  say({ action: "change", record: record("a", null) });
  say({ action: "leave", id: "e" });
  assert.deepEqual(await shown.take(6), [
    ["snapshot", "cab"],
    ["enter", "cabd"],
    ["enter", "ecabd"],
    ["change", "eabdc"],
    ["change", "ebdca"],
    ["leave", "bdca"],
  ]);
  // Whoever comes later is shown what there is.
  const second = new Queue();
  await hw.live("posts", { sort: "-rank,name", filter: "rank > 0", perPage: 30 }, (records, { action }) =>
    second.put([action, names(records)]));
  assert.deepEqual(await second.next(), ["snapshot", "bdca"]);

  // A new connection brings a new snapshot, which replaces everything.
  const next = await cut(socket);
  await next.grant(99, { type: "subscribe", topics: [topic] });
  snapshot(next, topic, [record("z", 1)]);
  assert.deepEqual([await shown.next(), await second.next()], [["snapshot", "z"], ["snapshot", "z"]]);
  // So does a reset: it is asked for.
  next.tell({ type: "reset", seq: "f:1", reason: "epoch" });
  await next.grant(1, { type: "unsubscribe", topics: [topic] });
  await next.grant(1, { type: "subscribe", topics: [topic] });
});

test("a live query in no simple order keeps the server's, and what is new comes last", async (t) => {
  const { shown, socket, topic } = await live(t, { sort: "author.name" });
  const say = (event) => socket.tell({ type: "event", topic, seq: "e:2", ...event });
  snapshot(socket, topic, [record("c"), record("a")]);
  say({ action: "enter", record: record("b") });
  say({ action: "change", record: { ...record("c"), name: "C" } });
  assert.deepEqual(await shown.take(3), [["snapshot", "ca"], ["enter", "cab"], ["change", "Cab"]]);
});

test("a live query asks for the fields that it needs itself", async (t) => {
  const { topic } = await live(t, { sort: "-rank", fields: "name" });
  const { query } = JSON.parse(decodeURIComponent(topic.split("options=")[1]));
  assert.equal(query.fields, "name,id,rank");
});
