// node --test loadtest/lib/ledger.test.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

const here = (name) => readFileSync(new URL(name, import.meta.url), "utf8");
// k6 takes any .js for a module, Node does not.
const { Ledger } = await import("data:text/javascript," + encodeURIComponent(here("ledger.js")));

// The same as in Go: k6/realtime/ledger_test.go.
for (const { name, events, after, upTo, ...expected } of JSON.parse(here("ledger-cases.json"))) {
  test(name, () => {
    const ledger = new Ledger();
    const seen = { inOrder: 0, repeated: 0, reordered: 0 };
    for (const event of events) seen[ledger.see(...event)]++;
    const { repeated, reordered } = seen;
    assert.deepEqual({ lost: ledger.lost(after, upTo), repeated, reordered }, expected);
  });
}
