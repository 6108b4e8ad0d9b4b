// The CLI of the `espruino` package, in a process of its own: it lays files out as Espruino's Storage does. No key goes this
// way. The board.json names the built-in modules, without which the CLI would look every `require` up online.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Board } from "../../../boards/board";
import { BUILDS } from "../../../boards/builds";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";

/** Longest that it may take, on a machine that does other things. */
const TIMEOUT_MS = 60_000;

/** Path of the CLI, from the package's own manifest. */
export function cliPath(): string {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve("espruino/package.json");
  return join(dirname(manifest), require(manifest).bin.espruino);
}

/** What the CLI must know of a board: its id, its modules, and for `--ohex` where Storage lies. */
export function boardDescription(board: Board): object {
  const build = BUILDS[board.espruino];
  const storage = board.flashMap.find(({ name }) => name === "storage");
  const crypto = build.crypto.length ? ["crypto"] : [];
  return {
    BOARD: board.espruino,
    info: { builtin_modules: ["Flash", "Storage", ...crypto, ...build.libraries] },
    chip: {
      saved_code: {
        address: storage?.start,
        page_size: board.pageLength,
        pages: (storage?.length ?? 0) / board.pageLength,
      },
    },
  };
}

function unwritten(error: unknown): never {
  throw new UsageError(`cannot write in ${tmpdir()}: ${fileFault(error)}; nothing was written.`);
}

/**
 * Run the CLI with a board file and files of its own folder, `files` by name; `onEnd` may take what it made there.
 * Returns its output and its exit code, which is 0 whatever happened.
 */
export async function runCli(
  board: Board,
  files: Record<string, string | Buffer>,
  args: (folder: string) => string[],
  onEnd: (folder: string) => void = () => {},
): Promise<{ output: string; code: number | null }> {
  const folder = await mkdtemp(join(tmpdir(), "espruino-")).catch(unwritten);
  try {
    const boardFile = join(folder, "board.json");
    await writeFile(boardFile, JSON.stringify(boardDescription(board))).catch(unwritten);
    for (const [name, data] of Object.entries(files))
      await writeFile(join(folder, name), data, "latin1").catch(unwritten);
    const result = await new Promise<{ output: string; code: number | null }>((resolve, reject) => {
      const child = spawn(
        process.execPath,
        [cliPath(), "--no-ble", "--board", boardFile, ...args(folder)],
        // in its folder, since it looks for modules and job files where it runs
        {
          cwd: folder,
          stdio: ["ignore", "pipe", "pipe"],
          timeout: TIMEOUT_MS,
          killSignal: "SIGKILL",
        },
      );
      let output = "";
      const take = (bytes: Buffer) => {
        output = (output + bytes.toString("latin1")).slice(-4096);
      };
      child.stdout.on("data", take);
      child.stderr.on("data", take);
      child.on("error", reject);
      child.on("close", (code) => resolve({ output, code }));
    });
    onEnd(folder);
    return result;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
