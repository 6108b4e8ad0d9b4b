/*
 * OpenSSL's `s_server` as an echo server: with -quiet its standard output is the application data as it came and
 * its standard input is what it sends, so joining the two makes the echo.
 */

import { suiteOf } from "../tls12/suites";
import { ciphersuites } from "../tls13/suites";
import { findProgram } from "./install";
import { freePort, listens, type Peer, type PeerOptions, runProgram, waitUntilReady } from "./process";

/** Start `openssl s_server` for one identity and key. */
export async function start({ suite, identity, key, defaults, tls13 }: PeerOptions): Promise<Peer> {
  const port = await freePort();
  const ciphers = `${suite === undefined || tls13 ? "PSK" : suiteOf(suite).openssl}:@SECLEVEL=0`;
  const program = runProgram({
    command: findProgram("openssl") ?? "openssl",
    args: [
      "s_server",
      "-accept",
      `127.0.0.1:${port}`,
      "-nocert",
      "-quiet",
      "-psk",
      key.toString("hex"),
      "-psk_identity",
      identity,
      ...(tls13
        ? [
            "-tls1_3",
            ...(tls13 === true
              ? ["-allow_no_dhe_kex", "-cipher", ciphers, "-ciphersuites", ciphersuites(suite)]
              : []),
          ]
        : defaults
          ? []
          : ["-tls1_2", "-cipher", ciphers]),
    ],
    input: "",
  });
  program.child.stdout?.on("data", (bytes) => program.child.stdin?.write(bytes));
  await waitUntilReady(program, "openssl s_server", () => listens(port));
  return { port, stop: () => program.stop(), output: () => program.output() };
}
