// A real browser: Chromium without a window, its own EventSource and fetch, and the SDK as a page loads it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import PocketBase from "pocketbase";

import { launch, open as openPage, sdk, skip } from "./browser.mjs";
import { Server, isReference, superuser } from "./server.mjs";

let server;
let browser;

before(async () => {
  if (skip) return;
  server = await Server.start();
  const admin = new PocketBase(server.url);
  await admin.collection("_superusers").authWithPassword(superuser.email, superuser.password);
  await admin.collections.create({
    name: "messages",
    type: "base",
    listRule: "",
    viewRule: "",
    createRule: "",
    fields: [{ name: "text", type: "text", required: true, max: 200 }],
  });
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

// A page of the server's own origin, and what it passes to `told`.
function open(t, path) {
  return openPage(t, browser, server.url + path);
}

function write(text) {
  return new PocketBase(server.url).collection("messages").create({ text });
}

test("a page logs in, writes and hears with the SDK", { skip }, async (t) => {
  const { page, events } = await open(t, "/api/health");
  await page.addScriptTag({ path: sdk });
  const token = await page.evaluate(async ({ email, password }) => {
    const pb = new PocketBase("/");
    await pb.collection("_superusers").authWithPassword(email, password);
    await pb.collection("messages").subscribe("*", told);
    await pb.collection("messages").create({ text: "from the page" });
    return pb.authStore.token;
  }, superuser);
  assert.equal(token.split(".").length, 3);
  const { action, record } = await events.next();
  assert.deepEqual([action, record.text], ["create", "from the page"]);

  await write("from elsewhere");
  assert.equal((await events.next()).record.text, "from elsewhere");
});

test("a page of another origin may do the same", { skip }, async (t) => {
  const { page, events } = await open(t, "/api/health");
  // localhost and 127.0.0.1 are two origins to a browser.
  await page.goto(`http://localhost:${server.port}/api/health`);
  await page.addScriptTag({ path: sdk });
  await page.evaluate(async (url) => {
    const pb = new PocketBase(url);
    await pb.collection("messages").subscribe("*", told);
    await pb.collection("messages").create({ text: "across" });
  }, server.url);
  assert.equal((await events.next()).record.text, "across");
});

test("the example page shows changes as they happen", { skip: skip || isReference }, async (t) => {
  const { page } = await open(t, "/_/example.html?collection=messages");
  await page.getByText("Listening to messages/*").waitFor();
  const { id } = await write("<b>for the example</b>");
  const line = page.locator("li").filter({ hasText: id });
  await line.waitFor();
  assert.match(await line.textContent(), /^create .*"text":"<b>for the example<\/b>"/);
});

test("the browser's own EventSource comes back by itself after a restart", { skip }, async (t) => {
  const { page, events } = await open(t, "/api/health");
  await page.evaluate(() => {
    const stream = new EventSource("/api/realtime");
    stream.addEventListener("messages/*", ({ data }) => told(JSON.parse(data).record.text));
    stream.addEventListener("PB_CONNECT", async ({ lastEventId }) => {
      const body = JSON.stringify({ clientId: lastEventId, subscriptions: ["messages/*"] });
      const headers = { "Content-Type": "application/json" };
      told((await fetch("/api/realtime", { method: "POST", headers, body })).status);
    });
  });
  assert.equal(await events.next(), 204);
  await write("before");
  assert.equal(await events.next(), "before");
  await server.stop();
  await server.serve();
  assert.equal(await events.next(), 204);
  await write("after");
  assert.equal(await events.next(), "after");
});

test("an EventSource with its topics in the address misses nothing while the server is gone", {
  skip: skip || isReference,
}, async (t) => {
  const { page, events } = await open(t, "/api/health");
  await page.evaluate(() => {
    const stream = new EventSource("/api/realtime?subscribe=messages/*");
    stream.addEventListener("PB_CONNECT", () => told("connected"));
    stream.addEventListener("HW_RESET", () => told("reset"));
    stream.addEventListener("messages/*", ({ data }) => told(JSON.parse(data).record.text));
  });
  assert.equal(await events.next(), "connected");
  const write = async (...texts) => {
    for (const text of texts) await server.write("messages", { text });
  };
  await write("1", "2");
  assert.deepEqual(await events.take(2), ["1", "2"]);
  await server.away(() => write("3", "4", "5"));
  assert.equal(await events.next(), "connected");
  await write("6");
  assert.deepEqual(await events.take(4), ["3", "4", "5", "6"]);
  // From a stream that was resumed once, too.
  await server.away(() => write("7"));
  await write("8");
  assert.deepEqual(await events.take(3), ["connected", "7", "8"]);
});
