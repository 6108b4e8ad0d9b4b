// Files into a board's Storage by the CLI of the `espruino` package, in a process of its own for each file. The CLI never
// sees the port: it talks to a loopback socket that is joined to the port which the bench holds open. So it needs no
// listing of ports (a pseudo-terminal is in none), no board is reset by an open or a close, and the bytes that pass
// are the progress. Only files go this way that may lie in a temporary file: never a key.
// The board.json names the built-in modules, without which the CLI would look every `require` up online.
import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Board } from "../../../boards/board";
import { BUILDS } from "../../../hal/simulator/builds";
import type { Port } from "./port";

/** How fast the CLI writes. `careful` waits after each piece: for ports whose input overflows (FIFO_FULL). */
const PACES = {
  fast: ["SERIAL_THROTTLE_SEND=2", "STORAGE_UPLOAD_METHOD=1"],
  careful: ["SERIAL_THROTTLE_SEND=2", "STORAGE_UPLOAD_METHOD=0"],
} as const;
export type Pace = keyof typeof PACES;

/** Longest that an upload may take; the largest bundle, carefully, takes a quarter of it. */
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
    BOARD: build.board,
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

/**
 * Run the CLI with a board file and files of its own folder, `files` by name; `onEnd` may take what it made there.
 * Returns its output and its exit code, which is 0 whatever happened.
 */
export async function runCli(
  board: Board,
  files: Record<string, string | Buffer>,
  args: (folder: string) => string[],
  signal?: AbortSignal,
  onEnd: (folder: string) => void = () => {},
): Promise<{ output: string; code: number | null }> {
  const folder = await mkdtemp(join(tmpdir(), "espruino-"));
  try {
    const boardFile = join(folder, "board.json");
    await writeFile(boardFile, JSON.stringify(boardDescription(board)));
    for (const [name, data] of Object.entries(files)) await writeFile(join(folder, name), data, "latin1");
    const result = await new Promise<{ output: string; code: number | null }>((resolve, reject) => {
      const child = spawn(
        process.execPath,
        [cliPath(), "--no-ble", "--board", boardFile, ...args(folder)],
        // in its folder, since it looks for modules and job files where it runs
        {
          cwd: folder,
          stdio: ["ignore", "pipe", "pipe"],
          signal,
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

/** The last thing that an upload has the board print: everything before it is done. */
const MARK = "<#uploaded#>";
const CTRL_C = 3;
/** Longest silence of the board while an upload still has bytes on the way, milliseconds. */
const QUIET_MS = 5000;

/**
 * Upload files into Storage (one byte a character, at most 28 characters a name), to a board whose prompt has been
 * found. Settles when the board has worked through them or has fallen silent, which says nothing about what arrived:
 * read it back. Throws PortClosed when the port goes.
 */
export async function upload(
  port: Port,
  board: Board,
  files: Readonly<Record<string, string>>,
  pace: Pace,
  onProgress: (share: number) => void = () => {},
): Promise<void> {
  const length = Object.values(files).reduce((sum, data) => sum + data.length, 0);
  // base64, and about 60 characters of code for every piece of 384 bytes
  const expected = length * (4 / 3 + 60 / 384);
  const bridge = new Bridge(port, (sent) => onProgress(Math.min(1, sent / expected)));
  const bridgeName = await bridge.open();
  const names = Object.keys(files);
  const cut = new AbortController();
  let run: Promise<unknown> | undefined;
  try {
    run = runCli(
      board,
      // names of their own, since those of Storage may be no file names
      Object.fromEntries(names.map((name, i) => [`${i}.bin`, files[name]])),
      (folder) => [
        ...PACES[pace].flatMap((setting) => ["--config", setting]),
        ...["-p", bridgeName],
        ...names.flatMap((name, i) => ["--storage", `${name}:${folder}/${i}.bin`]),
        // the mark is put together on the board, so that no echo of this line is taken for it
        ...["-e", `print("<#"+"uploaded#>")`],
      ],
      cut.signal,
    );
    // The mark says that all is done, and the CLI is not waited for: of what is shorter than its block of 512 bytes it
    // never learns that it was sent. Where it ends without the mark, what is still on the way may bring it.
    const ended = run.then(
      () => bridge.silent(),
      () => {},
    );
    await Promise.race([bridge.marked, ended, port.gone()]);
  } finally {
    cut.abort();
    bridge.close();
    await run?.catch(() => {});
  }
}

/** A loopback socket for one client, joined to a port. */
class Bridge {
  private server = createServer((socket) => this.join(socket));
  private sent = 0;
  private heard = "";
  private lastHeard = Date.now();
  private sending: Promise<void> = Promise.resolve();
  private leave = () => {};
  /** Settles when the mark has come back. */
  readonly marked: Promise<void>;
  private onMark = () => {};

  constructor(
    private readonly port: Port,
    private readonly onSent: (count: number) => void,
  ) {
    this.server.maxConnections = 1;
    this.marked = new Promise((resolve) => {
      this.onMark = resolve;
    });
  }

  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    return `tcp://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** Wait until nothing has passed for a while. */
  async silent(): Promise<void> {
    await this.sending.catch(() => {});
    while (Date.now() - this.lastHeard < QUIET_MS) await new Promise((resolve) => setTimeout(resolve, 20));
  }

  close(): void {
    this.leave();
    this.server.close();
  }

  private join(socket: Socket): void {
    this.server.close();
    const silence = this.port.listen((bytes) => {
      this.heard = (this.heard + bytes.toString("latin1")).slice(-200);
      this.lastHeard = Date.now();
      if (this.heard.includes(MARK)) this.onMark();
      if (socket.writable) socket.write(bytes);
    });
    this.leave = () => {
      silence();
      socket.destroy();
    };
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      // the prompt was found before; a Ctrl-C of the CLI, impatient with a slow line, would only break off
      const wanted = bytes.filter((byte) => byte !== CTRL_C);
      this.sending = this.sending.then(() => this.send(Buffer.from(wanted)));
      this.sending.catch(() => socket.destroy());
    });
  }

  private async send(bytes: Buffer): Promise<void> {
    await this.port.write(bytes, (count) => {
      this.lastHeard = Date.now();
      this.onSent((this.sent += count));
    });
  }
}
