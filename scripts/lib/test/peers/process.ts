/*
 * Starting and stopping the programs that tests need: a free port of 127.0.0.1, a folder of its own for key and
 * configuration files (0600), output kept for the report of a failed test, the wait until it listens, and an end
 * by process id, also when the test that started it fails, throws or is killed.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const START_TIMEOUT_MS = 60_000; // a defect by then, not a slow machine

/** A running server: its port on 127.0.0.1, its end, and all that it printed. */
export interface Peer {
  port: number;
  stop(): Promise<void>;
  output(): string;
}

/** A server that is one process of ours. */
export interface StartedPeer extends Peer {
  /** For what /proc says of it. */
  pid: number;
  signal(name: NodeJS.Signals): void;
  /** Resolves when it is gone, whatever of. */
  exited: Promise<unknown>;
}

/** What every server is told. Times out of `start` mean that it did not come up. */
export interface PeerOptions {
  /** The cipher suite's code; undefined = whatever the server takes. */
  suite?: number;
  /** TLS 1.3 with psk_ke alone, the suite one of tls13/suites.ts; "as it comes": with what the server has by itself. */
  tls13?: boolean | "as it comes";
  identity: string;
  /** 16 bytes. */
  key: Buffer;
  /** The server's own defaults instead of the settings that open every suite. */
  defaults?: boolean;
}

/** Where ports are free to take by number: the kernel gives none of these to who asks for any (ip(7), ip_local_port_range). */
const FIRST_PORT = 10_000;
const LAST_PORT = 32_000;

const drawn = new Set<number>();

/**
 * Find a TCP port of 127.0.0.1 that is free now, for a server that must be told one. It is drawn by lot, so that neither another
 * test nor a connection in between gets the same; this process gets none twice.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (drawn.has(port)) continue;
    drawn.add(port);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/** A folder for one server's files, readable by its owner alone. */
export class WorkFolder {
  readonly path = mkdtempSync(join(tmpdir(), "tls-psk-"));
  /** Write a file of mode 0600 and return its path. */
  file(name: string, text: string): string {
    const path = join(this.path, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }
  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const running = new Set<ChildProcess>();
const folders = new Set<WorkFolder>();

function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of folders) folder.remove();
}
process.on("exit", endAll);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
  process.once(signal, () => {
    endAll();
    process.exit(1);
  });

export interface Program {
  command: string;
  args: string[];
  env?: Record<string, string>;
  folder?: WorkFolder;
  /** What is written to its standard input, which then stays open. */
  input?: string;
}

export interface RunningProgram {
  child: ChildProcess;
  output(): string;
  /** Settles with the exit code, or -1 after a signal. */
  exited: Promise<number>;
  /** True until it has ended. */
  alive(): boolean;
  stop(): Promise<void>;
}

/** Run a program that dies with us, even when we are killed outright (setpriv of util-linux). */
export function runProgram({ command, args, env, folder, input }: Program): RunningProgram {
  const child = spawn("setpriv", ["--pdeathsig", "KILL", "--", command, ...args], {
    env: { ...process.env, ...env },
    stdio: ["pipe", "pipe", "pipe"],
    cwd: folder?.path,
  });
  let output = "";
  let alive = true;
  running.add(child);
  if (folder) folders.add(folder);
  child.stdout.on("data", (bytes) => (output += bytes.toString("latin1")));
  child.stderr.on("data", (bytes) => (output += bytes.toString("latin1")));
  child.stdin.on("error", () => {});
  if (input !== undefined) child.stdin.write(input);
  const exited = new Promise<number>((resolve) => {
    const ended = (code: number | null) => {
      alive = false;
      running.delete(child);
      resolve(code ?? -1);
    };
    child.on("close", ended);
    child.on("error", (error) => {
      output += `${error.message}\n`;
      ended(-1);
    });
  });
  return {
    child,
    output: () => output,
    exited,
    alive: () => alive,
    async stop() {
      child.kill("SIGTERM");
      const patience = setTimeout(() => child.kill("SIGKILL"), 1000);
      await exited;
      clearTimeout(patience);
      if (folder) {
        folders.delete(folder);
        folder.remove();
      }
    },
  };
}

/** Wait until `ready` says so; throws with the program's output where it ends or takes too long. */
export async function waitUntilReady(
  program: RunningProgram,
  name: string,
  ready: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await ready())) {
    if (!program.alive() || Date.now() > deadline) {
      const why = program.alive() ? "does not listen" : "ended at once";
      await program.stop();
      throw new Error(`${name} ${why}:\n${program.output()}`);
    }
    await delay(20);
  }
}

/** Wait until `ready` says so; throws where that takes so long that it is a defect. */
export async function waitUntil(what: string, ready: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT_MS;
  while (!(await ready())) {
    if (Date.now() > deadline) throw new Error(`${what} does not come`);
    await delay(20);
  }
}

/** Whether a TCP connection to this port of 127.0.0.1 opens; leaves a short-lived connection at the server. */
export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}

/** Start a server program that accepts connections on `port`, and wait for it. */
export async function startPeer(name: string, program: Program, port: number): Promise<StartedPeer> {
  const process = runProgram(program);
  await waitUntilReady(process, name, () => listens(port));
  return {
    port,
    pid: process.child.pid as number, // setpriv becomes the program
    stop: () => process.stop(),
    output: () => process.output(),
    signal: (name) => void process.child.kill(name),
    exited: process.exited,
  };
}
