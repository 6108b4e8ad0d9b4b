// The module `tls-psk` for those who have their own Espruino code: `require("tls-psk").connect({ host, port, identity, key },
// callback)` stands where `require("net").connect` would, under Espruino's own MQTT and HTTP modules. One session at a time.
// Leaves out flash, console and updates: nothing is read or written but what `connect` is given.
import type { Bytes } from "../bytes";
import { connect as connectSocket, type TlsSocket } from "../tls/socket";
import { useCredentials } from "./credentials";

export interface ConnectOptions {
  /** A name or an IPv4 address. */
  host: string;
  port: number;
  /** What the server knows the device by: 1 to 64 printable ASCII characters. */
  identity: string;
  /** The pre-shared key: 16 bytes, as a text of one character a byte, or 32 hex digits. */
  key: Bytes;
  /** 0 takes a server without extended_master_secret as well (RFC 7627). */
  ems?: number;
}

/** What `require` gives. */
declare const exports: { connect: typeof connect };

/** Connect over TLS. Returns the socket, which `callback` gets when the session stands; `error` has a code (tls/alert.ts). */
function connect(options: ConnectOptions, callback?: (socket: TlsSocket) => void): TlsSocket {
  let key = options.key;
  if (key.length === 32) {
    key = "";
    for (let i = 0; i < 32; i += 2) key += String.fromCharCode(parseInt(options.key.substr(i, 2), 16));
  }
  useCredentials(options.identity, key, options.ems);
  return connectSocket(options, callback);
}

exports.connect = connect;
