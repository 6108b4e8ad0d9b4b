// Runs the test files of its arguments with node's own runner, two at a time in the order given, which `node --test` would not
// keep; prints what `--test-reporter=spec` prints. Ends with 1 where a test failed. Started by run.ts in the compiled tree.
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { startMakers } from "./makers";

/** A file that takes longer has come to a stop. */
const TIMEOUT_MS = 1_200_000;

const concurrency = Number(process.env.TEST_FILES_AT_ONCE ?? 2);
const makers = await startMakers(concurrency);
process.env.BUNDLE_MAKERS = makers.path;
const tests = run({ files: process.argv.slice(2), concurrency, timeout: TIMEOUT_MS });
tests.on("test:fail", () => {
  process.exitCode = 1;
});
for await (const text of tests.compose(new spec())) process.stdout.write(text);
await makers.end();
