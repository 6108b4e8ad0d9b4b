// Pseudo-terminals for tests, made by socat (Debian), since Node has none without a native module: one end a name in the
// file system, as a serial port's, the other a TCP port or a program. Ending it is unplugging.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const WAIT_MS = 5000;

export class Pty {
  private constructor(private readonly child: ChildProcess) {}

  /** Make `path` a pseudo-terminal whose other end is a program, run in `cwd`. */
  static run(path: string, command: readonly string[], cwd: string): Promise<Pty> {
    return Pty.open(path, `EXEC:${command.join(" ")},pty,raw,echo=0`, cwd);
  }

  /** Make `path` a pseudo-terminal whose other end is `to`, an address of socat's. */
  static async open(path: string, to: string, cwd?: string): Promise<Pty> {
    // a process group of its own, so that a program ends with it
    const args = [`pty,link=${path},raw,echo=0`, to];
    const child = spawn("socat", args, { stdio: "ignore", cwd, detached: true });
    const deadline = Date.now() + WAIT_MS;
    while (!existsSync(path)) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`socat made no ${path}`);
      await sleep(10);
    }
    return new Pty(child);
  }

  /** Unplug it: its name goes, and so does its program, which nothing less than SIGKILL ends where it is Espruino. */
  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill();
      await ended;
    }
    try {
      process.kill(-(this.child.pid as number), "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
