/*
 * Node's own `tls` as an echo server with a pskCallback, in this process.
 */
import { constants } from "node:crypto";
import { createServer, type TLSSocket } from "node:tls";
import { suiteOf } from "../tls12/suites";
import { ciphersuites } from "../tls13/suites";
import type { Peer, PeerOptions } from "./process";

/** Start a Node TLS server for one identity and key. */
export async function start({ suite, identity, key, defaults, tls13 }: PeerOptions): Promise<Peer> {
  const sockets: TLSSocket[] = [];
  let output = "";
  const server = createServer(
    {
      pskCallback: (_socket, name) => (name === identity ? key : null),
      // Node's default list has no PSK suite at all.
      ...(defaults
        ? {}
        : {
            ciphers: tls13
              ? `${ciphersuites(suite)}:PSK:@SECLEVEL=0`
              : suite === undefined
                ? "PSK"
                : suiteOf(suite).openssl,
            ...(tls13 ? { minVersion: "TLSv1.3" as const } : {}),
            secureOptions: constants.SSL_OP_ALLOW_NO_DHE_KEX,
          }),
    },
    (socket) => {
      sockets.push(socket);
      socket.on("error", (error) => (output += `${error.message}\n`));
      socket.pipe(socket);
    },
  );
  server.on("tlsClientError", (error) => (output += `${error.message}\n`));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as { port: number }).port,
    output: () => output,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
