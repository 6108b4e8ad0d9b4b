// `npm test`: what the tests need is installed, types and lint are checked while the bundles are built, all sources are compiled once
// (compile.ts), and the test files run two at a time, the longest first (pool.ts). Ends with two lines: what all of it took,
// and the five slowest files. Arguments are test files, which then run alone.
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { promisify } from "node:util";
import { PROJECT } from "../project";
import { compileInto, sources } from "./compile";
import { placeIn } from "./program";
import { processorSeconds, type Usage } from "./usage";

/** Files that take longest: begun last, one of them would run on alone. */
const LONGEST = [
  "scripts/lib/bundle/build.test.ts",
  "scripts/console.test.ts",
  "firmware/tls/nonces.test.ts",
  "scripts/lib/ledger/ledger.test.ts",
  "firmware/ota/update_cuts.test.ts",
  "scripts/keys.test.ts",
  "firmware/boot/loader.test.ts",
  "firmware/tls/interop.test.ts",
  "firmware/store/journal.test.ts",
  "scripts/lib/bench/bench_page.test.ts",
  "scripts/lib/console/page.test.ts",
  "firmware/tls/misbehaviour.test.ts",
  "scripts/start.test.ts",
  "firmware/tls/attacks.test.ts",
  "firmware/ota/wear.test.ts",
  "scripts/lib/bench/bench.test.ts",
  "scripts/lib/gateway/cluster.test.ts",
  "firmware/console/commands.test.ts",
  "firmware/ota/updater.test.ts",
  "firmware/power_cuts.test.ts",
  "scripts/bench.test.ts",
];

/** MB of V8's young generation, three halves of it: at its default of 16 each, a tenth of all time goes into collecting it. */
const YOUNG = "--max-semi-space-size=32";

const DIST = join(PROJECT, "dist");
const TREE = "tests-";

/** Run a program to its end and print what it said; false where it failed. */
async function step(command: string, ...args: string[]): Promise<boolean> {
  const done = promisify(execFile)(command, args, { cwd: PROJECT, maxBuffer: 1 << 26 });
  const {
    stdout,
    stderr,
    code = 0,
  } = await done.then(
    (said) => ({ ...said, code: 0 }),
    (error) => error,
  );
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  return code === 0;
}

/** What comes before the tests; false where something is wrong. */
async function prepare(): Promise<boolean> {
  const node = [process.execPath, "--import", "tsx"] as const;
  if (!(await step(...node, "scripts/lib/test/peers/install.ts"))) return false;
  const done = await Promise.all([step("npm", "run", "-s", "check"), step("npm", "run", "-s", "build")]);
  return !done.includes(false);
}

/** Make a compiled tree of this process's own; those of runs that were killed go. */
async function makeTree(): Promise<string> {
  mkdirSync(DIST, { recursive: true });
  for (const name of readdirSync(DIST))
    if (name.startsWith(TREE) && !existsSync(`/proc/${name.slice(TREE.length)}`))
      rmSync(join(DIST, name), { recursive: true });
  const tree = join(DIST, `${TREE}${process.pid}`);
  await compileInto(tree);
  return tree;
}

/** Run test files; gives the exit code and what each of them took. */
async function runTests(files: readonly string[]): Promise<{ code: number; usages: Usage[] }> {
  const tree = await makeTree();
  const report = join(tree, "usage");
  try {
    const { status } = spawnSync(
      process.execPath,
      [
        ...["--enable-source-maps", YOUNG],
        ...["--import", placeIn(tree, "scripts/lib/test/usage.ts")],
        placeIn(tree, "scripts/lib/test/pool.ts"),
        ...files.map((file) => placeIn(tree, file)),
      ],
      { cwd: PROJECT, stdio: "inherit", env: { ...process.env, COMPILED_TREE: tree, USAGE_FILE: report } },
    );
    const lines = existsSync(report) ? readFileSync(report, "utf8").trim().split("\n") : [];
    const usages = lines.map((line) => JSON.parse(line) as Usage);
    const source = ({ file, ...rest }: Usage) => ({
      ...rest,
      file: relative(tree, file).replace(/\.js$/, ".ts"),
    });
    return { code: status ?? 1, usages: usages.map(source) };
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

function seconds(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} s`;
}

const rank = (file: string) => (LONGEST.indexOf(file) + LONGEST.length + 1) % (LONGEST.length + 1);
const named = process.argv.slice(2).map((file) => relative(PROJECT, resolve(file)));
if (named.length === 0 && !(await prepare())) process.exit(1);
const files = (named.length > 0 ? named : sources(".test.ts")).sort((a, b) => rank(a) - rank(b));
const { code, usages } = await runTests(files);
const slowest = usages.sort((a, b) => b.wall - a.wall).slice(0, 5);
const took = slowest.map(({ file, wall, processor }) => `${file} ${seconds(wall)} (${seconds(processor)})`);
console.log(
  `took ${seconds(performance.now() / 1000)} of wall time, ${seconds(processorSeconds())} of processor time`,
);
console.log(`slowest, with processor time: ${took.join(", ")}`);
process.exit(code);
