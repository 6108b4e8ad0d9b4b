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

/** The fatal alert of every server for a suite that it does not take: handshake_failure. */
export const REFUSAL = 40;

export interface PeerRow {
  name: string;
  /** The server's own defaults (true), or the settings that open every suite (false). */
  defaults: boolean;
  start(options: PeerOptions): Promise<Peer>;
  /** What it does with the bytes it gets. */
  answers: "echo" | "echo of lines" | "MQTT";
  /** Codes of the suites that it takes; the others it answers with REFUSAL. */
  takes: readonly number[];
  /** It takes its key for every identity. */
  ignoresIdentity?: boolean;
  /** The reason to skip it here, or false. */
  skip: string | false;
}

const CBC_SHA = 0x008c;
const CBC_SHA256 = 0x00ae;
const CCM_8 = 0xc0a8;
const CCM = 0xc0a4;
const GCM = 0x00a8;

const everySuite = [CBC_SHA, CBC_SHA256, CCM_8, CCM, GCM];
const opensslDefaults = [CBC_SHA, CBC_SHA256, GCM];
const gnutlsDefaults = [CBC_SHA, CCM, GCM];

const withoutOpenssl = skipWithout("openssl");
const withoutGnutls = skipWithout("gnutls-serv", "unshare", "ip") || gnutlsServ.skipWithoutNamespace();
const withoutStunnel = skipWithout("stunnel4");
const withoutMosquitto = skipWithout("mosquitto");

// biome-ignore format: a table
export const PEERS: readonly PeerRow[] = [
  { name: "OpenSSL", defaults: false, ...opensslServer, answers: "echo", takes: everySuite, skip: withoutOpenssl, ignoresIdentity: true },
  { name: "OpenSSL", defaults: true, ...opensslServer, answers: "echo", takes: opensslDefaults, skip: withoutOpenssl },
  { name: "GnuTLS", defaults: false, ...gnutlsServ, answers: "echo of lines", takes: everySuite, skip: withoutGnutls },
  { name: "GnuTLS", defaults: true, ...gnutlsServ, answers: "echo of lines", takes: gnutlsDefaults, skip: withoutGnutls },
  { name: "stunnel", defaults: false, ...stunnel, answers: "echo", takes: everySuite, skip: withoutStunnel },
  { name: "stunnel", defaults: true, ...stunnel, answers: "echo", takes: everySuite, skip: withoutStunnel },
  { name: "Mosquitto", defaults: false, ...mosquitto, answers: "MQTT", takes: everySuite, skip: withoutMosquitto },
  { name: "Mosquitto", defaults: true, ...mosquitto, answers: "MQTT", takes: opensslDefaults, skip: withoutMosquitto },
  { name: "Node", defaults: false, ...nodeTls, answers: "echo", takes: everySuite, skip: false },
  { name: "Node", defaults: true, ...nodeTls, answers: "echo", takes: [], skip: false },
];
