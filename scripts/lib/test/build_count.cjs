// Loaded into a command under test (--require): says at its end how many bundles it asked for, built or kept (lib/bundle/cache.ts looks
// into dist/.cache for each). A count, and no time: a build that was kept is begun as well.
const fs = require("node:fs");
const { syncBuiltinESMExports } = require("node:module");

const { readFileSync, writeSync } = fs;
let count = 0;
fs.readFileSync = (path, ...more) => {
  if (String(path).includes("/dist/.cache/")) count++;
  return readFileSync(path, ...more);
};
syncBuiltinESMExports();
process.on("exit", () => writeSync(2, `bundles asked for: ${count}\n`));
