// The official JavaScript SDK, unmodified, against the real server.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { EventSource } from "eventsource";
import PocketBase, { ClientResponseError } from "pocketbase";

import { Queue, Server, superuser } from "./server.mjs";

globalThis.EventSource = EventSource;

let server;
// Logged in as the superuser.
let admin;

function client() {
  const pb = new PocketBase(server.url);
  pb.autoCancellation(false);
  return pb;
}

before(async () => {
  server = await Server.start();
  admin = client();
  await admin.collection("_superusers").authWithPassword(superuser.email, superuser.password);
  const open = { listRule: "", viewRule: "", createRule: "", updateRule: "", deleteRule: "" };
  const authors = await admin.collections.create({
    ...open,
    name: "authors",
    type: "base",
    fields: [{ name: "name", type: "text", required: true }],
  });
  await admin.collections.create({
    ...open,
    name: "posts",
    type: "base",
    fields: [
      { name: "title", type: "text", required: true, max: 20 },
      { name: "rank", type: "number" },
      { name: "tags", type: "select", values: ["a", "b", "c"], maxSelect: 3 },
      { name: "author", type: "relation", collectionId: authors.id, maxSelect: 1 },
      { name: "created", type: "autodate", onCreate: true },
    ],
  });
  const users = await admin.collections.getOne("users");
  const own = "owner = @request.auth.id && @request.auth.id != ''";
  await admin.collections.create({
    name: "notes",
    type: "base",
    listRule: own,
    viewRule: own,
    createRule: own,
    updateRule: own,
    deleteRule: own,
    fields: [
      { name: "text", type: "text" },
      { name: "owner", type: "relation", collectionId: users.id, maxSelect: 1 },
    ],
  });
});

after(() => server?.remove());

async function refused(promise, status) {
  const error = await promise.then(
    () => assert.fail("it was not refused"),
    (error) => error,
  );
  assert.ok(error instanceof ClientResponseError, String(error));
  assert.equal(error.status, status);
  return error.response;
}

async function user(name) {
  const pb = client();
  const email = `${name}@example.com`;
  const password = "correct horse";
  await pb.collection("users").create({ email, name, password, passwordConfirm: password });
  await pb.collection("users").authWithPassword(email, password);
  return pb;
}

describe("auth", () => {
  test("a user signs up, logs in, refreshes the token and changes the own record", async () => {
    const pb = await user("ann");
    assert.ok(pb.authStore.isValid);
    assert.equal(pb.authStore.record.email, "ann@example.com");

    const { token, record } = await pb.collection("users").authRefresh();
    assert.equal(pb.authStore.token, token);
    assert.equal(record.id, pb.authStore.record.id);

    const changed = await pb.collection("users").update(record.id, { name: "Ann" });
    assert.equal(changed.name, "Ann");
  });

  test("a wrong password is refused", async () => {
    await user("bob");
    const response = await refused(client().collection("users").authWithPassword("bob@example.com", "wrong"), 400);
    assert.deepEqual(response, { data: {}, message: "Failed to authenticate.", status: 400 });
  });

  test("the ways to log in are listed", async () => {
    const methods = await client().collection("users").listAuthMethods();
    assert.equal(methods.password.enabled, true);
    assert.deepEqual(methods.password.identityFields, ["email"]);
    assert.equal(methods.otp.enabled, false);
    assert.deepEqual(methods.oauth2.providers, []);
  });

  test("a superuser acts as a user", async () => {
    const pb = await user("cid");
    const other = await admin.collection("users").impersonate(pb.authStore.record.id, 60);
    const note = await other.collection("notes").create({ text: "as cid", owner: pb.authStore.record.id });
    assert.equal((await pb.collection("notes").getOne(note.id)).text, "as cid");
  });

  test("everyone sees the own records only", async () => {
    const [dan, eve] = [await user("dan"), await user("eve")];
    const note = await dan.collection("notes").create({ text: "secret", owner: dan.authStore.record.id });
    assert.equal((await dan.collection("notes").getList()).totalItems, 1);
    assert.equal((await eve.collection("notes").getList()).totalItems, 0);
    await refused(eve.collection("notes").getOne(note.id), 404);
    await refused(eve.collection("notes").create({ text: "not mine", owner: dan.authStore.record.id }), 400);
  });
});

describe("records", () => {
  test("a record is created, read, changed, counted up and deleted", async () => {
    const posts = client().collection("posts");
    const post = await posts.create({ title: "first", rank: 1, tags: ["a"] });
    assert.match(post.id, /^[a-z0-9]{15}$/);
    assert.deepEqual(await posts.getOne(post.id), post);

    const changed = await posts.update(post.id, { "rank+": 41, "tags+": "c" });
    assert.deepEqual(changed, { ...post, rank: 42, tags: ["a", "c"] });

    assert.equal(await posts.delete(post.id), true);
    await refused(posts.getOne(post.id), 404);
  });

  test("a list is filtered, sorted, paged, expanded and reduced to fields", async () => {
    const pb = client();
    const ada = await pb.collection("authors").create({ name: "Ada" });
    const bea = await pb.collection("authors").create({ name: "Bea" });
    for (let rank = 1; rank <= 5; rank++) {
      const author = rank % 2 ? ada.id : bea.id;
      await pb.collection("posts").create({ title: `list ${rank}`, rank, author });
    }
    const filter = pb.filter("title ~ {:text} && author.name = {:name}", { text: "list", name: "Ada" });
    const list = await pb.collection("posts").getList(1, 2, { filter, sort: "-rank", expand: "author" });
    assert.deepEqual(
      [list.page, list.perPage, list.totalItems, list.totalPages, list.items.map((item) => item.rank)],
      [1, 2, 3, 2, [5, 3]],
    );
    assert.equal(list.items[0].expand.author.name, "Ada");

    const reduced = await pb.collection("posts").getFullList({ filter, sort: "rank", fields: "rank" });
    assert.deepEqual(reduced, [{ rank: 1 }, { rank: 3 }, { rank: 5 }]);

    const first = await pb.collection("posts").getFirstListItem('title = "list 4"');
    assert.equal(first.rank, 4);

    const back = await pb.collection("authors").getOne(bea.id, { expand: "posts_via_author" });
    assert.equal(back.expand.posts_via_author.length, 2);
  });

  test("what is wrong with a record is told field by field", async () => {
    const response = await refused(client().collection("posts").create({ title: "", tags: ["z"] }), 400);
    assert.equal(response.message, "Failed to create record.");
    assert.equal(response.data.title.code, "validation_required");
    assert.equal(response.data.title.message, "Cannot be blank.");
    assert.equal(response.data.tags.code, "validation_invalid_value");
  });

  test("a filter that cannot be read is refused", async () => {
    await refused(client().collection("posts").getList(1, 1, { filter: "title = " }), 400);
    await refused(client().collection("posts").getList(1, 1, { filter: "nobody = 1" }), 400);
    await refused(client().collection("nothing").getList(), 404);
  });

  test("a batch is carried out as a whole or not at all", async () => {
    await admin.settings.update({ batch: { enabled: true, maxRequests: 50, timeout: 3 } });
    const good = client().createBatch();
    good.collection("posts").create({ title: "batch 1" });
    good.collection("posts").create({ title: "batch 2" });
    const answers = await good.send();
    assert.deepEqual(answers.map((answer) => [answer.status, answer.body.title]), [[200, "batch 1"], [200, "batch 2"]]);

    const bad = client().createBatch();
    bad.collection("posts").create({ title: "batch 3" });
    bad.collection("posts").create({ title: "" });
    const response = await refused(bad.send(), 400);
    assert.equal(response.data.requests[1].response.data.title.code, "validation_required");
    assert.equal((await client().collection("posts").getList(1, 9, { filter: 'title ~ "batch"' })).totalItems, 2);
  });
});

describe("collections", () => {
  test("a superuser creates, changes, truncates and deletes a collection", async () => {
    const made = await admin.collections.create({
      name: "things",
      type: "base",
      fields: [{ name: "name", type: "text" }],
    });
    await admin.collection("things").create({ name: "one" });
    made.fields.push({ name: "size", type: "number" });
    const changed = await admin.collections.update("things", { fields: made.fields, listRule: "" });
    assert.deepEqual(changed.fields.map((field) => field.name), ["id", "name", "size"]);
    const { items } = await client().collection("things").getList();
    assert.deepEqual(items.map((item) => [item.name, item.size]), [["one", 0]]);
    await admin.collections.truncate("things");
    assert.equal((await client().collection("things").getList()).totalItems, 0);
    await admin.collections.delete("things");
    await refused(client().collection("things").getList(), 404);
  });

  test("nobody else may", async () => {
    await refused(client().collections.getList(), 401);
    await refused((await user("fay")).collections.getList(), 403);
  });
});

describe("realtime", () => {
  test("every change of a collection arrives, in order, until unsubscribed", async () => {
    const pb = client();
    const events = new Queue();
    const unsubscribe = await pb.collection("posts").subscribe("*", events.put);
    const post = await pb.collection("posts").create({ title: "live" });
    assert.deepEqual(await events.next(), { action: "create", record: post });
    const changed = await pb.collection("posts").update(post.id, { rank: 7 });
    assert.deepEqual(await events.next(), { action: "update", record: changed });
    await pb.collection("posts").delete(post.id);
    assert.deepEqual(await events.next(), { action: "delete", record: changed });

    // After the unsubscription the next thing to arrive is something else.
    await pb.collection("authors").subscribe("*", events.put);
    await unsubscribe();
    await pb.collection("posts").create({ title: "not heard" });
    const author = await pb.collection("authors").create({ name: "heard" });
    assert.deepEqual((await events.next()).record, author);
    await pb.realtime.unsubscribe();
  });

  test("one record, with a filter, fields and expand", async () => {
    const pb = client();
    const author = await pb.collection("authors").create({ name: "Gil" });
    const post = await pb.collection("posts").create({ title: "one", author: author.id });
    const [one, some] = [new Queue(), new Queue()];
    await pb.collection("posts").subscribe(post.id, one.put, { expand: "author", fields: "rank,expand.author.name" });
    await pb.collection("posts").subscribe("*", some.put, { filter: "rank > 10" });
    await pb.collection("posts").update(post.id, { rank: 5 });
    await pb.collection("posts").create({ title: "another", rank: 9 });
    await pb.collection("posts").update(post.id, { rank: 11 });
    const record = (rank) => ({ action: "update", record: { rank, expand: { author: { name: "Gil" } } } });
    assert.deepEqual(await one.next(), record(5));
    assert.deepEqual(await one.next(), record(11));
    assert.equal((await some.next()).record.rank, 11);
    await pb.realtime.unsubscribe();
  });

  test("a user hears of the own records only", async () => {
    const [hal, ida] = [await user("hal"), await user("ida")];
    const events = new Queue();
    await hal.collection("notes").subscribe("*", events.put);
    await ida.collection("notes").create({ text: "ida's", owner: ida.authStore.record.id });
    await hal.collection("notes").create({ text: "hal's", owner: hal.authStore.record.id });
    assert.equal((await events.next()).record.text, "hal's");
    await hal.realtime.unsubscribe();
  });

  test("the SDK finds its way back after a restart of the server", async () => {
    const pb = client();
    const [events, submitted] = [new Queue(), new Queue()];
    await pb.collection("posts").subscribe("*", events.put);
    // The SDK comes back as a new client and submits its topics again.
    pb.afterSend = (response, data) => {
      if (response.url.endsWith("/api/realtime")) submitted.put(response.status);
      return data;
    };
    await server.stop();
    await server.serve();
    assert.equal(await submitted.next(), 204);
    await client().collection("posts").create({ title: "after restart" });
    assert.equal((await events.next()).record.title, "after restart");
    await pb.realtime.unsubscribe();
  });
});
