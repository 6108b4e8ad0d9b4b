// Pseudo-terminals for tests, made by socat (Debian), since Node has none without a native module: one end a name in the
// file system, as a serial port's, the other a TCP port or a program. Ending it is unplugging.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const WAIT_MS = 5000;

export class Pty {
  private constructor(private readonly child: ChildProcess) {}

  /** Make `path` a pseudo-terminal whose other end is `to`, an address of socat's; `cwd` for a program. */
  static async open(path: string, to: string, cwd?: string): Promise<Pty> {
    const child = spawn("socat", [`pty,link=${path},raw,echo=0`, to], { stdio: "ignore", cwd });
    const deadline = Date.now() + WAIT_MS;
    while (!existsSync(path)) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`socat made no ${path}`);
      await sleep(10);
    }
    return new Pty(child);
  }

  /** Unplug it. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.kill();
    await ended;
  }
}
