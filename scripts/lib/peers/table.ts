/*
 * Which server takes which suite in which configuration, as data. The versions are those of Debian 12 (OpenSSL 3.0,
 * GnuTLS 3.7.9, stunnel 5.68, Mosquitto 2.0.11) and Node 20. The tests loop over it; a server is one row more.
 */
import * as gnutlsServ from "./gnutls_serv";
import { skipWithout } from "./install";
import * as mosquitto from "./mosquitto";
import * as nodeTls from "./node_tls";
import * as opensslServer from "./openssl_s_server";
import type { Peer, PeerOptions } from "./process";
import * as stunnel from "./stunnel";

const HANDSHAKE_FAILURE = 40;

export interface PeerRow {
  name: string;
  /** The server's own defaults (true), or the settings that open every suite (false). */
  defaults: boolean;
  start(options: PeerOptions): Promise<Peer>;
  /** What it does with the bytes it gets. */
  answers: "echo" | "echo of lines" | "MQTT";
  /** By suite: true where it takes it, else the fatal alert. */
  takes: Record<number, true | number>;
  /** The reason to skip it here, or false. */
  skip: string | false;
}

const everySuite: PeerRow["takes"] = { 0x008c: true, 0x00ae: true, 0xc0a8: true, 0xc0a4: true };
const cbcOnly: PeerRow["takes"] = {
  ...everySuite,
  [0xc0a8]: HANDSHAKE_FAILURE,
  [0xc0a4]: HANDSHAKE_FAILURE,
};
const noSuite: PeerRow["takes"] = {
  0x008c: HANDSHAKE_FAILURE,
  0x00ae: HANDSHAKE_FAILURE,
  0xc0a8: HANDSHAKE_FAILURE,
  0xc0a4: HANDSHAKE_FAILURE,
};
const gnutlsDefaults: PeerRow["takes"] = {
  ...everySuite,
  0x00ae: HANDSHAKE_FAILURE,
  [0xc0a8]: HANDSHAKE_FAILURE,
};

const withoutOpenssl = skipWithout("openssl");
const withoutGnutls = skipWithout("gnutls-serv", "unshare", "ip") || gnutlsServ.skipWithoutNamespace();
const withoutStunnel = skipWithout("stunnel4");
const withoutMosquitto = skipWithout("mosquitto");

// prettier-ignore
export const PEERS: readonly PeerRow[] = [
  { name: "OpenSSL", defaults: false, ...opensslServer, answers: "echo", takes: everySuite, skip: withoutOpenssl },
  { name: "OpenSSL", defaults: true, ...opensslServer, answers: "echo", takes: cbcOnly, skip: withoutOpenssl },
  { name: "GnuTLS", defaults: false, ...gnutlsServ, answers: "echo of lines", takes: everySuite, skip: withoutGnutls },
  { name: "GnuTLS", defaults: true, ...gnutlsServ, answers: "echo of lines", takes: gnutlsDefaults, skip: withoutGnutls },
  { name: "stunnel", defaults: false, ...stunnel, answers: "echo", takes: everySuite, skip: withoutStunnel },
  { name: "stunnel", defaults: true, ...stunnel, answers: "echo", takes: everySuite, skip: withoutStunnel },
  { name: "Mosquitto", defaults: false, ...mosquitto, answers: "MQTT", takes: everySuite, skip: withoutMosquitto },
  { name: "Mosquitto", defaults: true, ...mosquitto, answers: "MQTT", takes: cbcOnly, skip: withoutMosquitto },
  { name: "Node", defaults: false, ...nodeTls, answers: "echo", takes: everySuite, skip: false },
  { name: "Node", defaults: true, ...nodeTls, answers: "echo", takes: noSuite, skip: false },
];
