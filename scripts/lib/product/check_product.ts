// `npm run product -- check` and `test`: a product's types, its build, its tests.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { buildBundle } from "../bundle/build";
import { DeviceError, UsageError } from "../cli/exit";
import { oneOf } from "../cli/options";
import { boardNames, PROJECT } from "../project";
import { productFile } from "./product_file";

const DEFAULT_BOARD = "esp32";

/** Hold a product to its types, where its folder says how, and build it. Throws UsageError with what is wrong. */
export async function checkProduct(path: string, options: { board?: string; json?: boolean }): Promise<void> {
  const file = productFile(path);
  const board = oneOf(boardNames())(options.board ?? DEFAULT_BOARD);
  const config = join(dirname(file), "tsconfig.json");
  if (existsSync(config)) {
    const tsc = join(PROJECT, "node_modules/typescript/bin/tsc");
    const { status, stdout } = spawnSync(
      process.execPath,
      [tsc, "--noEmit", "--pretty", "false", "-p", config],
      {
        encoding: "utf8",
      },
    );
    if (status !== 0) throw new UsageError(`it does not keep to its types:\n${stdout.trim()}`);
  }
  const { sizes } = await buildBundle({ board, product: file });
  const firmware = (await buildBundle({ board })).sizes;
  const row = { board, bytes: sizes.total, product: sizes.total - firmware.total, left: sizes.left };
  if (options.json) console.log(JSON.stringify(row));
  else
    console.log(
      `${path} on ${board}: the product takes ${row.product} bytes, all of it ${row.bytes}, ${row.left} are left.`,
    );
}

/** Run the tests of a product's folder. Throws DeviceError where one fails. */
export function testProduct(path: string): void {
  const folder = join(path, "test");
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".test.ts")) : [];
  if (files.length === 0) throw new UsageError(`there is no test in ${folder}: a file NAME.test.ts.`);
  const tests = files.map((name) => resolve(folder, name));
  const { status } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--test", "--test-reporter=spec", ...tests],
    {
      cwd: PROJECT,
      stdio: "inherit",
      env: {
        ...process.env,
        NODE_TEST_CONTEXT: undefined,
        TSX_TSCONFIG_PATH: resolve(folder, "tsconfig.json"),
      },
    },
  );
  if (status !== 0) throw new DeviceError("a test fails.");
}
