// The first superuser: a fresh server prints a link, and the page behind it makes the account.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

import { chromium } from "playwright-core";
import PocketBase from "pocketbase";

import { isReference, superuser } from "./server.mjs";

const chromiumPath = process.env.HEADWATER_CHROMIUM ?? "/usr/bin/chromium";
const reason = isReference ? "the reference has a page of its own" : `no browser at ${chromiumPath}`;
const skip = isReference || !existsSync(chromiumPath) ? reason : false;

// A server on an empty directory, and the link that it prints.
async function fresh(t) {
  const root = await mkdtemp(join(tmpdir(), "headwater-install-"));
  const flags = ["serve", "--dir", join(root, "pb_data"), "--http", "127.0.0.1:0"];
  const server = spawn(process.env.HEADWATER_BINARY, flags, { stdio: ["ignore", "pipe", "inherit"] });
  t.after(async () => {
    server.kill("SIGKILL");
    await rm(root, { recursive: true });
  });
  for await (const line of createInterface({ input: server.stdout })) {
    if (line.includes("/_/#/pbinstall/")) {
      server.stdout.resume();
      return line.trim();
    }
  }
  throw new Error("the server printed no link");
}

test("the link leads to a form that creates the first superuser", { skip }, async (t) => {
  const link = await fresh(t);
  const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--headless", "--no-sandbox", "--disable-gpu"] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));

  await page.goto(link);
  await page.getByLabel("E-mail").fill(superuser.email);
  await page.getByLabel("Password (at least 8 characters)").fill(superuser.password);
  await page.getByLabel("Password again").fill("another one");
  await page.getByRole("button").click();
  await page.getByText("passwordConfirm: Values don't match.").waitFor();

  await page.getByLabel("Password again").fill(superuser.password);
  await page.getByRole("button").click();
  await page.getByText(`${superuser.email} is a superuser now.`).waitFor();
  assert.deepEqual(errors, []);

  const client = new PocketBase(new URL(link).origin);
  await client.collection("_superusers").authWithPassword(superuser.email, superuser.password);
  const { items } = await client.collection("_superusers").getList();
  assert.deepEqual(items.map((item) => item.email), [superuser.email]);

  // The helper account is gone, and its link with it.
  await page.goto("about:blank");
  await page.goto(link);
  await page.getByLabel("E-mail").fill("b@example.com");
  await page.getByLabel("Password (at least 8 characters)").fill(superuser.password);
  await page.getByLabel("Password again").fill(superuser.password);
  await page.getByRole("button").click();
  await page.getByText("This link is no longer good.").waitFor();
});
