// Makes tests/data/pocketbase_v0_39 with the reference, through its API alone:
//
//   HEADWATER_BINARY=target/reference/pocketbase HEADWATER_E2E_REFERENCE=1 node tests/e2e/make-data.mjs
//
// expected.json holds what the reference itself answers about it.
import { cp, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import PocketBase from "pocketbase";

import { Server, superuser } from "./server.mjs";

const target = fileURLToPath(new URL("../data/pocketbase_v0_39/", import.meta.url));
const server = await Server.start();
const admin = new PocketBase(server.url);
await admin.collection("_superusers").authWithPassword(superuser.email, superuser.password);

const users = [
  { id: "user00000000001", email: "one@example.com", name: "One", password: "the first password", emailVisibility: true },
  { id: "user00000000002", email: "two@example.com", name: "Two", password: "pässwörd ☂ two", verified: true },
];
for (const user of users) await admin.collection("users").create({ ...user, passwordConfirm: user.password });

const tags = await admin.collections.create({
  name: "tags",
  type: "base",
  listRule: "",
  viewRule: "",
  fields: [{ name: "name", type: "text", required: true, presentable: true }],
  indexes: ["CREATE UNIQUE INDEX idx_tags_name ON tags (name)"],
});
const { id: usersId } = await admin.collections.getOne("users");
const everything = await admin.collections.create({
  name: "everything",
  type: "base",
  listRule: "public = true || (owner = @request.auth.id && @request.auth.id != '')",
  viewRule: "public = true || (owner = @request.auth.id && @request.auth.id != '')",
  createRule: "@request.auth.id != '' && owner = @request.auth.id",
  updateRule: "@request.auth.id != '' && owner = @request.auth.id",
  deleteRule: null,
  fields: [
    { name: "title", type: "text", required: true, max: 100 },
    { name: "slug", type: "text", pattern: "^[a-z0-9-]*$", autogeneratePattern: "[a-z]{4}-[0-9]{4}" },
    { name: "secret", type: "text", hidden: true },
    { name: "body", type: "editor" },
    { name: "count", type: "number", onlyInt: true },
    { name: "ratio", type: "number" },
    { name: "public", type: "bool" },
    { name: "contact", type: "email" },
    { name: "homepage", type: "url" },
    { name: "day", type: "date" },
    { name: "state", type: "select", values: ["draft", "live"], maxSelect: 1 },
    { name: "colours", type: "select", values: ["red", "green", "blue"], maxSelect: 3 },
    { name: "extra", type: "json" },
    { name: "owner", type: "relation", collectionId: usersId, maxSelect: 1 },
    { name: "tags", type: "relation", collectionId: tags.id, maxSelect: 9, cascadeDelete: false },
    { name: "place", type: "geoPoint" },
    { name: "picture", type: "file", maxSelect: 1 },
    { name: "pin", type: "password" },
    { name: "created", type: "autodate", onCreate: true },
    { name: "updated", type: "autodate", onCreate: true, onUpdate: true },
  ],
  indexes: ["CREATE INDEX idx_everything_state ON everything (state, count)"],
});
await admin.collections.create({
  name: "live_titles",
  type: "view",
  listRule: "",
  viewQuery: "SELECT id, title, count FROM everything WHERE state = 'live'",
});

for (const [index, name] of ["sql", "rust", "ünïcode"].entries()) {
  await admin.collection("tags").create({ id: `tag00000000000${index + 1}`, name });
}
const records = [
  { title: "nothing else" },
  {
    title: "all of it",
    slug: "all-of-it",
    secret: "only superusers",
    body: "<p>Tom &amp; \"Jerry\" <b>✓</b></p>",
    count: 42,
    ratio: -0.125,
    public: true,
    contact: "someone@example.com",
    homepage: "https://example.com/a?b=c",
    day: "2024-02-29 23:59:59.999Z",
    state: "live",
    colours: ["blue", "red"],
    extra: { list: [1, 2.5, null, "x"], nested: { deep: true } },
    owner: users[0].id,
    tags: ["tag000000000003", "tag000000000001"],
    place: { lon: 13.4, lat: 52.52 },
    pin: "1234",
  },
  { title: "one's own", owner: users[0].id, state: "draft", extra: [], count: 9007199254740991, ratio: 1e21 },
  { title: "two's own", owner: users[1].id, state: "live", extra: "a text", count: -1, ratio: 0.1 },
  { title: "json null", public: true, extra: null, day: "2020-01-01", ratio: 3 },
];
for (const [index, record] of records.entries()) {
  await admin.collection("everything").create({ id: `record00000000${index + 1}`.slice(0, 15), ...record });
}

async function answersFor(pb) {
  const answers = {};
  for (const path of [
    "/api/collections/everything/records?sort=id&expand=owner,tags",
    "/api/collections/everything/records?filter=" + encodeURIComponent("tags.name ?= 'sql' || extra.nested.deep = true"),
    "/api/collections/tags/records?sort=name&expand=everything_via_tags",
    "/api/collections/users/records?sort=id",
    "/api/collections/live_titles/records?sort=id",
  ]) {
    const response = await fetch(server.url + path, { headers: { Authorization: pb?.authStore.token ?? "" } });
    answers[path] = await response.json();
  }
  return answers;
}

const one = new PocketBase(server.url);
await one.collection("users").authWithPassword(users[0].email, users[0].password);
const expected = {
  superuser: await answersFor(admin),
  one: await answersFor(one),
  guest: await answersFor(null),
  collections: await admin.collections.getFullList({ sort: "name" }),
  settings: await admin.settings.getAll(),
};
await admin.settings.update({ logs: { maxDays: 0 } });
expected.settings.logs.maxDays = 0;
await admin.send("/api/sql", { method: "POST", body: { query: "VACUUM" } });
await server.stop("SIGTERM");

await rm(target + "directory", { recursive: true, force: true });
await cp(server.data, target + "directory", { recursive: true });
await writeFile(target + "expected.json", JSON.stringify(expected, null, 1) + "\n");
await rm(server.root, { recursive: true });
