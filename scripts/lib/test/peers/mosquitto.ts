/*
 * The Mosquitto broker with a psk_file, one TLS listener on 127.0.0.1, nothing kept on disk.
 */
import { join } from "node:path";
import { PROJECT } from "../../project";
import { suiteOf } from "../tls12/suites";
import { findProgram } from "./install";
import { freePort, type Peer, type PeerOptions, startPeer, WorkFolder } from "./process";

/** What a fleet's Mosquitto is told to speak TLS 1.3 with psk_ke. */
const TLS13_CNF = join(PROJECT, "scripts/lib/gateway/mosquitto/openssl_tls13.cnf");

export interface MosquittoOptions extends PeerOptions {
  /** Further clients: identity and key. */
  clients?: { identity: string; key: Buffer }[];
}

/** Start mosquitto for one identity and key, and those of further clients. */
export async function start({
  suite,
  identity,
  key,
  defaults,
  tls13,
  clients = [],
}: MosquittoOptions): Promise<Peer> {
  const port = await freePort();
  const folder = new WorkFolder();
  const keys = [{ identity, key }, ...clients].map(
    (client) => `${client.identity}:${client.key.toString("hex")}\n`,
  );
  const ciphers = `ciphers ${suite === undefined || tls13 ? "PSK" : suiteOf(suite).openssl}:@SECLEVEL=0`;
  const configuration = folder.file(
    "mosquitto.conf",
    [
      // Started as root it becomes its own user, who cannot read a key file of mode 0600.
      ...(process.getuid?.() === 0 ? ["user root"] : []),
      "persistence false",
      "log_dest stderr",
      "log_type all",
      `listener ${port} 127.0.0.1`,
      `psk_file ${folder.file("keys", keys.join(""))}`,
      "psk_hint any",
      "use_identity_as_username true",
      "allow_anonymous true",
      ...(tls13 ? [] : defaults ? [] : [ciphers, "tls_version tlsv1.2"]),
      "",
    ].join("\n"),
  );
  const env = tls13 === true ? { OPENSSL_CONF: TLS13_CNF } : undefined;
  const program = {
    command: findProgram("mosquitto") ?? "mosquitto",
    args: ["-c", configuration],
    folder,
    env,
  };
  return startPeer("mosquitto", program, port);
}
