// The types of headwater.js, as a project with TypeScript sees them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import ts from "typescript";

test("the types say how headwater.js is used, and no more", () => {
  const program = ts.createProgram([fileURLToPath(new URL("types.ts", import.meta.url))], {
    noEmit: true,
    strict: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib: ["lib.es2022.d.ts", "lib.dom.d.ts"],
    types: [],
  });
  const host = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => "", getNewLine: () => "\n" };
  assert.equal(ts.formatDiagnostics(ts.getPreEmitDiagnostics(program), host), "");
});
