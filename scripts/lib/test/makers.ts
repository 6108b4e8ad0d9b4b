// Processes that make bundles for all test files and the commands that these start (bundle/make.ts): what makes a bundle is loaded and
// warm once, where each of the files would begin anew, which takes it two to three times as long. The pool has as many as files run
// at once. Who asks is asked_make.ts: it sends { options, cwd } over a socket, and gets what makeBundle gives, or why it throws.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BuildOptions, Bundle } from "../bundle/build";
import { LOADER, modulePath } from "./program";

export interface Wanted {
  options: BuildOptions;
  /** Where who asks is: files are named from there. */
  cwd: string;
}

export type Made =
  | { inputs: string[]; value: Bundle }
  /** `name`: UsageError, or another error's. */
  | { failed: { name: string; message: string } };

/** Start makers. Gives the path of their socket, and what ends them. */
export async function startMakers(count: number): Promise<{ path: string; end(): Promise<void> }> {
  const makers = Array.from({ length: count }, () =>
    fork(modulePath("scripts/lib/test/maker.ts"), { execArgv: [...process.execArgv, ...LOADER] }),
  );
  // who waits for it would wait for ever
  const fail = () => {
    throw new Error("a maker of bundles has ended");
  };
  for (const maker of makers) maker.on("exit", fail);
  const idle = [...makers];
  const waiting: ((maker: ChildProcess) => void)[] = [];
  const makeOne = async (wanted: string): Promise<string> => {
    const maker = idle.pop() ?? (await new Promise<ChildProcess>((resolve) => waiting.push(resolve)));
    try {
      const made = once(maker, "message");
      maker.send(wanted);
      return (await made)[0];
    } finally {
      const next = waiting.shift();
      if (next) next(maker);
      else idle.push(maker);
    }
  };
  const folder = mkdtempSync(join(tmpdir(), "makers-"));
  const path = join(folder, "socket");
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    let wanted = "";
    socket.setEncoding("utf8").on("data", (text) => (wanted += text));
    socket.on("end", async () => socket.end(await makeOne(wanted)));
    // who asked may be gone by now
    socket.on("error", () => {});
  });
  await once(server.listen(path), "listening");
  return {
    path,
    async end() {
      server.close();
      rmSync(folder, { recursive: true });
      await Promise.all(
        makers.map(async (maker) => {
          maker.off("exit", fail);
          const over = once(maker, "exit");
          maker.disconnect();
          await over;
        }),
      );
    },
  };
}
