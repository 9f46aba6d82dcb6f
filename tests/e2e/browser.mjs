// Chromium without a window, and pages in it.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { Queue } from "./server.mjs";

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
// Where there is none, whoever runs this says so: tests/run names what it skipped.
const chromiumPath = process.env.HEADWATER_CHROMIUM ?? "/usr/bin/chromium";
export const skip = existsSync(chromiumPath) ? false : `no browser at ${chromiumPath}`;
export const sdk = fileURLToPath(import.meta.resolve("pocketbase/umd"));

export function launch() {
  return chromium.launch({ executablePath: chromiumPath, args: flags });
}

// A page, and what it passes to `told`. `owner`: a browser, or a context in which pages know each other.
export async function open(t, owner, url, script) {
  const page = await owner.newPage();
  t.after(() => page.close());
  const events = new Queue();
  await page.exposeFunction("told", events.put);
  const errors = [];
  page.on("pageerror", (error) => errors.push(error));
  t.after(() => assert.deepEqual(errors, []));
  if (script) await page.addInitScript(script);
  await page.goto(url);
  return { page, events };
}
