// Pseudo-terminals for tests and for the farm of simulated boards, made by socat (Debian), since Node has none without a native module: one end a name in the
// file system, as a serial port's, the other a TCP port or a program. Ending it is unplugging.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { DeviceError } from "../cli/exit";

const WAIT_MS = 5000;

export class Pty {
  /** Settles when it is gone: closed here, or by whoever had it open. */
  readonly ended: Promise<void>;

  private constructor(private readonly child: ChildProcess) {
    this.ended = new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) resolve();
      else child.once("exit", () => resolve());
    });
  }

  /** Make `path` a pseudo-terminal whose other end is a program, run in `cwd`. */
  static run(path: string, command: readonly string[], cwd: string): Promise<Pty> {
    return Pty.open(path, `EXEC:${command.join(" ")},pty,raw,echo=0`, cwd);
  }

  /** Make `path` a pseudo-terminal whose other end is `to`, an address of socat's. */
  static async open(path: string, to: string, cwd?: string): Promise<Pty> {
    // a process group of its own, so that a program ends with it
    const args = [`pty,link=${path},raw,echo=0`, to];
    const child = spawn("socat", args, { stdio: "ignore", cwd, detached: true });
    let fault: string | undefined;
    child.once("error", (error: NodeJS.ErrnoException) => {
      fault = error.code === "ENOENT" ? "socat is missing: apt-get install socat" : error.message;
    });
    const deadline = Date.now() + WAIT_MS;
    while (!existsSync(path)) {
      if (fault) throw new DeviceError(`there is no pseudo-terminal: ${fault}.`);
      if (child.exitCode !== null || Date.now() > deadline)
        throw new DeviceError(`there is no pseudo-terminal: socat made no ${path}.`);
      await sleep(10);
    }
    return new Pty(child);
  }

  /** Unplug it: its name goes, and so does its program, which nothing less than SIGKILL ends where it is Espruino. */
  async close(): Promise<void> {
    this.child.kill();
    await this.ended;
    try {
      process.kill(-(this.child.pid as number), "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}
