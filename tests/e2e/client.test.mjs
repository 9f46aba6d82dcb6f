// headwater.js in a real browser, against a server that is killed now and then.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";

import { launch, open as openPage, sdk, skip as noBrowser } from "./browser.mjs";
import { Server, isReference, superuser } from "./server.mjs";

const skip = noBrowser || (isReference && "only Headwater has it");
// A message that never comes is a failure.
const limits = { skip, timeout: 60_000 };

let server;
let browser;
let admin;
let ann;

before(async () => {
  if (skip) return;
  server = await Server.start();
  const login = (collection, identity, password) =>
    server.request("POST", `/api/collections/${collection}/auth-with-password`, { identity, password });
  admin = (await login("_superusers", superuser.email, superuser.password)).token;
  const fields = [{ name: "text", type: "text" }, { name: "owner", type: "text" }];
  const collections = [
    { name: "messages", listRule: "", viewRule: "" },
    { name: "notes", listRule: "owner = @request.auth.id && @request.auth.id != ''" },
  ];
  for (const collection of collections) {
    const body = { ...collection, type: "base", createRule: "", updateRule: "", deleteRule: "", fields };
    await server.request("POST", "/api/collections", body, admin);
  }
  const password = "correct horse";
  const email = "ann@example.com";
  ann = await server.write("users", { email, password, passwordConfirm: password }, admin);
  ann = { ...ann, email, password, token: (await login("users", email, password)).token };
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await server?.remove();
});

const withoutSockets = () => {
  globalThis.WebSocket = function () {
    throw new Error("nothing gets through");
  };
};

// A page in which `hw` is a client.
async function open(t, { owner = browser, options = {}, script } = {}) {
  const { page, events } = await openPage(t, owner, `${server.url}/_/example.html?collection=none`, script);
  await page.evaluate(async (options) => {
    const { Headwater } = await import("/_/headwater.js");
    window.Headwater = Headwater;
    window.hw = new Headwater("/", options);
    window.tell = ({ action, record }) => told(`${action} ${record.text}`);
  }, options);
  return { page, events };
}

function write(...texts) {
  return texts.reduce((before, text) => before.then(() => server.write("messages", { text })), Promise.resolve());
}

async function clients() {
  const { clients, subscriptions } = await server.request("GET", "/api/realtime/state", undefined, admin);
  return { ...clients, subscriptions };
}

// The server hears that somebody went, but nobody hears when.
async function eventually(holds) {
  const end = performance.now() + 10_000;
  while (!(await holds())) {
    assert.ok(performance.now() < end, `it never came to ${holds}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

// The clients of earlier tests are gone. What is left are the streams that example.html has for itself, of a topic each.
function quiet(pages) {
  return eventually(async () =>
    isDeepStrictEqual(await clients(), { sse: pages, webSocket: 0, subscriptions: pages }));
}

const kinds = [
  { name: "a shared socket", options: {} },
  { name: "a socket of its own", options: { shared: false } },
  { name: "an event stream, where no socket gets through", options: { shared: false }, script: withoutSockets },
];

for (const kind of kinds) {
  const isStream = kind.script !== undefined;

  describe(kind.name, limits, () => {
    test(`subscriptions begin and end when the server says so (${kind.name})`, async (t) => {
      const { page, events } = await open(t, kind);
      await quiet(1);
      await page.evaluate(async () => {
        window.stop = await hw.subscribe("messages/*", tell);
        window.stopOther = await hw.subscribe("messages/*", ({ record }) => told(`too: ${record.text}`));
      });
      await write("1", "2");
      assert.deepEqual(await events.take(4), ["create 1", "too: 1", "create 2", "too: 2"]);
      await page.evaluate(() => stopOther());
      assert.equal((await clients()).subscriptions, 2);
      await write("3");
      assert.equal(await events.next(), "create 3");
      await page.evaluate(async () => {
        await hw.subscribe("notes", tell);
        await stop();
      });
      assert.equal((await clients()).subscriptions, 2);
      await write("nobody hears this");
      await page.evaluate(() => hw.subscribe("messages/*", tell));
      await write("4");
      assert.equal(await events.next(), "create 4");
    });

    test(`nothing is lost or doubled while the server is gone (${kind.name})`, async (t) => {
      const { page, events } = await open(t, kind);
      await page.evaluate(async () => {
        hw.onReset(({ reason }) => told(`reset: ${reason}`));
        // By two topics, each of which hears of every change.
        await hw.subscribe("messages/*", ({ record, seq }) => told(["a", record.text, seq]));
        await hw.subscribe("messages/*", ({ record, seq }) => told(["b", record.text, seq]), { filter: "text != 'x'" });
      });
      const expect = async (...texts) => {
        const heard = await events.take(texts.length * 2);
        for (const topic of ["a", "b"]) {
          assert.deepEqual(heard.filter(([own]) => own === topic).map(([, text]) => text), texts);
        }
      };
      await write("1", "2", "3");
      await expect("1", "2", "3");
      for (const round of ["one", "two"]) {
        const missed = Array.from({ length: 20 }, (_, n) => `${round} ${n}`);
        await server.away(() => write(...missed));
        await write(`after ${round}`);
        await expect(...missed, `after ${round}`);
      }
    });

    test(`what the server refuses is an error (${kind.name})`, async (t) => {
      const { page, events } = await open(t, kind);
      const refused = (topic) =>
        page.evaluate(async (topic) => {
          const error = await hw.subscribe(topic, told).then(() => "not refused", (error) => error);
          const { name, status, data, message } = error;
          return { isError: error instanceof Error, name, status, message, codes: Object.keys(data) };
        }, topic);
      const error = await refused(`messages/${"x".repeat(3000)}`);
      assert.deepEqual([error.isError, error.name, error.status], [true, "HeadwaterError", 400]);
      assert.deepEqual(error.codes, [isStream ? "subscriptions" : "topics"]);
      assert.equal((await refused("messages/\n")).status, 400);
      assert.equal((await refused(`messages/${"x".repeat(70_000)}`)).status, 400);
      // The others go on.
      await page.evaluate(() => hw.subscribe("messages/*", tell));
      await write("still here");
      assert.equal(await events.next(), "create still here");
    });

    test(`options narrow what a topic tells (${kind.name})`, async (t) => {
      const { page, events } = await open(t, kind);
      await page.evaluate(() =>
        hw.subscribe("messages/*", ({ record }) => told(record), { filter: 'text ~ "+ä"', fields: "text" }));
      await write("a", "+ä 1", "b", "+ä 2");
      assert.deepEqual(await events.take(2), [{ text: "+ä 1" }, { text: "+ä 2" }]);
    });

    test(`a live query keeps its result up to date (${kind.name})`, async (t) => {
      const { page, events } = await open(t, kind);
      const text = (name) => `live ${kinds.indexOf(kind)} ${name}`;
      await page.evaluate(async (filter) => {
        const show = (records, { action }) => told([action, ...records.map(({ text }) => text)]);
        await hw.live("messages", { filter, sort: "-text", perPage: 2 }, show);
        await hw.live("nothing", {}, show);
      }, `text ~ '${text("")}%'`);
      const begin = [await events.next(), await events.next()];
      assert.deepEqual(begin.sort(), [["error"], ["snapshot"]]);
      await write(text("a"));
      assert.deepEqual(await events.next(), ["enter", text("a")]);
      await write(text("c"));
      assert.deepEqual(await events.next(), ["enter", text("c"), text("a")]);
      await write("not this one", text("b"));
      assert.deepEqual(await events.take(2), [["leave", text("c")], ["enter", text("c"), text("b")]]);
    });

    test(`who asks follows the SDK's instance (${kind.name})`, async (t) => {
      const { page, events } = await open(t, kind);
      // The page's policy lets no foreign script in; this way it is none.
      await page.evaluate(await readFile(sdk, "utf8"));
      await page.evaluate(async (options) => {
        window.pb = new PocketBase("/");
        window.client = new Headwater(pb, options);
        await client.subscribe("notes/*", tell);
        await client.subscribe("messages/*", tell);
      }, kind.options);
      const note = (text) => server.write("notes", { text, owner: ann.id });
      await note("a guest hears nothing");
      await write("1");
      assert.equal(await events.next(), "create 1");
      // The answer to a later request says that the one before it is done.
      const become = (change) => page.evaluate(`(async () => {
        const { email, password } = ${JSON.stringify(ann)};
        await ${change};
        await (await client.subscribe("marks/*", told))();
      })()`);
      await become('pb.collection("users").authWithPassword(email, password)');
      await write("2");
      await note("for ann");
      assert.deepEqual(await events.take(2), ["create 2", "create for ann"]);
      await become("pb.authStore.clear()");
      await note("a guest hears nothing");
      await write("3");
      assert.equal(await events.next(), "create 3");
      // The new caller is kept over a restart.
      await become('pb.collection("users").authWithPassword(email, password)');
      await server.away(() => note("missed"));
      assert.equal(await events.next(), "create missed");
    });
  });
}

test("tabs share one socket, and each hears its own", limits, async (t) => {
  // In one context tabs find each other.
  const owner = await browser.newContext();
  t.after(() => owner.close());
  const [one, other] = [await open(t, { owner }), await open(t, { owner })];
  await quiet(2);
  await one.page.evaluate(() => hw.subscribe("messages/*", tell));
  await other.page.evaluate(async () => {
    await hw.subscribe("messages/*", tell);
    await hw.subscribe("notes/*", tell);
  });
  assert.equal((await clients()).webSocket, 1);
  await write("to both");
  assert.deepEqual([await one.events.next(), await other.events.next()], ["create to both", "create to both"]);
  await server.away(() => write("missed by both"));
  assert.deepEqual([await one.events.next(), await other.events.next()], ["create missed by both", "create missed by both"]);

  // Another caller has another socket, and its own events.
  await other.page.evaluate((token) => hw.setToken(token), ann.token);
  assert.equal((await clients()).webSocket, 2);
  await server.write("notes", { text: "for ann", owner: ann.id });
  await write("again to both");
  assert.deepEqual(await other.events.take(2), ["create for ann", "create again to both"]);
  assert.equal(await one.events.next(), "create again to both");

  // The first tab joins the other one's socket, which has heard of something that it has not.
  await server.write("notes", { text: "ahead", owner: ann.id });
  assert.equal(await other.events.next(), "create ahead");
  await one.page.evaluate(async (token) => {
    hw.onReset(({ reason }) => told(`reset: ${reason}`));
    await hw.setToken(token);
  }, ann.token);
  assert.equal(await one.events.next(), "reset: auth");
  await eventually(async () => (await clients()).webSocket === 1);
  await write("to one caller");
  assert.deepEqual([await one.events.next(), await other.events.next()], ["create to one caller", "create to one caller"]);

  // A tab that closes does not end the others', and the last one ends the socket.
  await other.page.close();
  await write("to the first");
  assert.equal(await one.events.next(), "create to the first");
  await one.page.evaluate(() => hw.close());
  await eventually(async () => (await clients()).webSocket === 0);
});

test("where no worker starts a tab has a socket of its own", limits, async (t) => {
  const withoutWorkers = () => {
    globalThis.SharedWorker = class {
      port = { postMessage() {}, close() {} };

      constructor() {
        setTimeout(() => this.onerror(new Event("error")));
      }
    };
  };
  const { page, events } = await open(t, { script: withoutWorkers });
  await page.evaluate(() => hw.subscribe("messages/*", tell));
  await write("alone");
  assert.equal(await events.next(), "create alone");
});

test("where no socket gets through there is an event stream", limits, async (t) => {
  const { page } = await open(t, kinds[2]);
  await quiet(1);
  await page.evaluate(() => hw.subscribe("messages/*", tell));
  assert.deepEqual(await clients(), { sse: 2, webSocket: 0, subscriptions: 2 });
});

test("a closed client takes nothing more", limits, async (t) => {
  const { page } = await open(t);
  const message = await page.evaluate(async () => {
    await hw.subscribe("messages/*", tell);
    const pending = hw.subscribe("notes/*", tell).catch(({ message }) => message);
    await hw.close();
    await pending;
    return hw.subscribe("messages/*", tell).catch(({ message }) => message);
  });
  assert.equal(message, "The client is closed.");
  await eventually(async () => (await clients()).webSocket === 0);
});

// Node has WebSockets without being asked since version 22.
test("the client runs in Node too", { timeout: limits.timeout, skip: isReference }, async (t) => {
  const server = await Server.start();
  t.after(() => server.remove());
  const { token } = await server.request("POST", "/api/collections/_superusers/auth-with-password", {
    identity: superuser.email,
    password: superuser.password,
  });
  const code = await readFile(new URL("../../static/headwater.js", import.meta.url), "base64");
  const script = `
    import { Headwater } from "data:text/javascript;base64,${code}";
    const hw = new Headwater("${server.url}", { token: "${token}" });
    await hw.subscribe("users/*", ({ record }) => console.log(record.name));
    console.log("listening");`;
  const node = spawn(process.execPath, ["--experimental-websocket", "--input-type=module"], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => node.kill());
  node.stdin.end(script);
  const lines = createInterface({ input: node.stdout })[Symbol.asyncIterator]();
  const line = async () => (await lines.next()).value;
  assert.equal(await line(), "listening");
  const user = (name) =>
    server.write("users", { name, email: `${name}@example.com`, password: "12345678", passwordConfirm: "12345678" }, token);
  await user("one");
  assert.equal(await line(), "one");
  await server.away(() => user("two"));
  await user("three");
  assert.deepEqual([await line(), await line()], ["two", "three"]);
});

test("the page in docs/realtime.md works from another origin", limits, async (t) => {
  const docs = await readFile(new URL("../../docs/realtime.md", import.meta.url), "utf8");
  const [, html] = /```html\n(.*?)```/s.exec(docs);
  // localhost and 127.0.0.1 are two origins to a browser.
  const { page } = await openPage(t, browser, `http://localhost:${server.port}/api/health`);
  await quiet(0);
  await page.setContent(html.replaceAll("http://127.0.0.1:8090", server.url));
  await eventually(async () => isDeepStrictEqual(await clients(), { sse: 0, webSocket: 1, subscriptions: 1 }));
  await write("from the docs");
  await page.getByText("create from the docs").waitFor();
});
