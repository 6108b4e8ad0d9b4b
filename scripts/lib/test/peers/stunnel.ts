/*
 * stunnel4 in front of a plain echo server of ours: what most installations look like, a service that knows
 * nothing of TLS behind a proxy that does.
 */
import { createServer, type Socket } from "node:net";
import { suiteOf } from "../tls12/suites";
import { findProgram } from "./install";
import { freePort, type Peer, type PeerOptions, startPeer, WorkFolder } from "./process";

/** Start stunnel4 and the echo server behind it. */
export async function start({ suite, identity, key, defaults }: PeerOptions): Promise<Peer> {
  const sockets: Socket[] = [];
  const echo = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
  const port = await freePort();
  const folder = new WorkFolder();
  const secrets = folder.file("keys", `${identity}:${key.toString("hex")}\n`);
  const ciphers = defaults ? [] : [`ciphers = ${suite === undefined ? "PSK" : suiteOf(suite).openssl}`];
  const configuration = folder.file(
    "stunnel.conf",
    [
      "foreground = yes",
      "syslog = no",
      "debug = 5",
      "pid =",
      "[psk]",
      `accept = 127.0.0.1:${port}`,
      `connect = 127.0.0.1:${(echo.address() as { port: number }).port}`,
      `PSKsecrets = ${secrets}`,
      ...ciphers,
      "",
    ].join("\n"),
  );
  const program = { command: findProgram("stunnel4") ?? "stunnel4", args: [configuration], folder };
  const peer = await startPeer("stunnel4", program, port);
  return {
    ...peer,
    async stop() {
      await peer.stop();
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => echo.close(resolve));
    },
  };
}
