// Runs the tests of the pages' modules that need no browser: `node node-bin/web-tests/run.mjs`. In the gate they run inside of chromium.

import { readFileSync } from "node:fs";
import { run as app } from "./app.js";
import { run as random } from "./random.js";
import { run as vectors } from "./vectors.js";

const read = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), "utf8"));
const results = [["vectors", vectors(read("../../docs/client-vectors.json"))], ["random", random(Number(process.argv[2] ?? 200))], ["app", await app()]];
for (const [name, { passed, failed }] of results) {
  console.log(`${name}: ${passed} passed, ${failed.length} failed`);
  for (const wrong of failed.slice(0, 10)) console.log(`  ${wrong}`);
  if (failed.length > 0) process.exitCode = 1;
}
