/*
 * GnuTLS's `gnutls-serv` as an echo server of lines. It listens on every address of the machine and has no option
 * against it, so it runs in a network namespace of its own, whose loopback nobody else reaches; a relay inside
 * passes a socket file's bytes to it and a relay here gives that file a port of 127.0.0.1.
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { suiteOf } from "../tls12/suites";
import { gnutlsSuites as suite13 } from "../tls13/suites";
import { findProgram } from "./install";
import { type Peer, type PeerOptions, runProgram, WorkFolder, waitUntilReady } from "./process";

const INNER_PORT = 5556;

/** Runs inside the namespace, as text for `node -e`: starts the server and passes bytes both ways. */
const RELAY_INSIDE = `
const { spawn } = require("child_process");
const net = require("net");
const [socketPath, port, program, ...args] = process.argv.slice(1);
const server = spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...args], { stdio: ["pipe", "inherit", "inherit"] });
server.on("exit", (code) => process.exit(code || 0));
process.on("SIGTERM", () => server.kill("SIGKILL"));
function relay(left) {
  const right = net.connect({ port: Number(port), host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  for (const [from, to] of [[left, right], [right, left]]) {
    from.pipe(to);
    from.on("error", () => to.destroy());
  }
}
function probe() {
  const socket = net.connect(Number(port), "127.0.0.1");
  socket.on("error", () => setTimeout(probe, 20));
  socket.on("connect", () => {
    socket.destroy();
    net.createServer({ allowHalfOpen: true }, relay).listen(socketPath);
  });
}
probe();
`;

function ip(): string {
  return findProgram("ip") ?? "ip";
}

/** Find how this user may open a network namespace: the arguments of `unshare`, or undefined where it may not. */
function unshareArguments(): string[] | undefined {
  return [["-n"], ["-r", "-n"]].find(
    (args) => spawnSync("unshare", [...args, ip(), "link", "set", "lo", "up"]).status === 0,
  );
}

/** Give the reason why gnutls-serv cannot be shut in here, or false. */
export function skipWithoutNamespace(): string | false {
  return unshareArguments() ? false : "gnutls-serv needs a network namespace, and none may be opened here";
}

/** Start `gnutls-serv --echo` for one identity and key. It answers when a line feed came. */
export async function start({ suite, identity, key, defaults, tls13 }: PeerOptions): Promise<Peer> {
  const unshare = unshareArguments();
  if (!unshare) throw new Error(skipWithoutNamespace() || "");
  const folder = new WorkFolder();
  const keys = folder.file("keys", `${identity}:${key.toString("hex")}\n`);
  const ciphers =
    suite === undefined || tls13
      ? "+AES-128-CCM-8:+AES-128-CCM:+AES-128-GCM:+AES-128-CBC:+SHA1:+SHA256"
      : suiteOf(suite).gnutls;
  const priority = tls13
    ? `NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.3${tls13 === true ? `:${suite13(suite)}` : ""}`
    : defaults
      ? "NORMAL:+PSK"
      : `NORMAL:-KX-ALL:+PSK:-VERS-ALL:+VERS-TLS1.2:${ciphers}`;
  const socketPath = join(folder.path, "socket");
  const server = [
    findProgram("gnutls-serv") ?? "gnutls-serv",
    "-p",
    String(INNER_PORT),
    "--pskpasswd",
    keys,
    "--priority",
    priority,
    "--echo",
    "--quiet",
    "--nodb",
  ];
  const program = runProgram({
    command: "unshare",
    args: [
      ...unshare,
      "sh",
      "-c",
      '"$0" link set lo up && exec "$@"',
      ip(),
      process.execPath,
      "-e",
      RELAY_INSIDE,
      socketPath,
      String(INNER_PORT),
      ...server,
    ],
    folder,
  });
  await waitUntilReady(program, "gnutls-serv", () => existsSync(socketPath));

  const sockets: Socket[] = [];
  const outside = createServer({ allowHalfOpen: true, noDelay: true }, (left) => {
    const right = connect({ path: socketPath, allowHalfOpen: true });
    for (const [from, to] of [
      [left, right],
      [right, left],
    ]) {
      sockets.push(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => outside.listen(0, "127.0.0.1", resolve));
  return {
    port: (outside.address() as { port: number }).port,
    output: () => program.output(),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => outside.close(resolve));
      await program.stop();
    },
  };
}
