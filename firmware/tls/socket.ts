// The socket for applications: TLS where Espruino's own `net.connect` would stand, so that its MQTT and HTTP code can sit
// on it unchanged. Adds to session.ts what our own MQTT client does without.
import type { ByteSource } from "../../hal/hal";
import { HANDSHAKE_TIMEOUT_MS } from "../profile";
import { connect as connectSession, shutdown, timeOut, type TlsSocket, transmit, transportSocket } from "./session";

/** A TLS socket with the members of Espruino's net socket. */
export interface Socket extends TlsSocket {
  /** Send data; returns false, as Espruino's sockets do: `drain` tells when all of it is on its way. */
  write(data: ByteSource): boolean;
  /** Send data, if any, then close_notify, and close. */
  end(data?: ByteSource): void;
}

/**
 * Connect to a server over TLS. Returns the socket that `callback` gets when the session stands; it has write and end
 * and emits connect, data, drain, end, error (with a code of alert.ts) and close.
 */
export function connect(options: { host: string; port: number }, callback?: (socket: Socket) => void): Socket {
  const socket = connectSession(options) as Socket & { emit(event: string): void };
  socket.write = (data) => {
    transmit(E.toString(data));
    return false;
  };
  socket.end = (data) => {
    if (data) socket.write(data);
    shutdown(0);
  };
  if (callback) socket.on("connect", callback);
  const timer = setTimeout(timeOut, HANDSHAKE_TIMEOUT_MS);
  socket.on("close", () => clearTimeout(timer));
  const transport = transportSocket();
  if (transport) transport.on("drain", () => socket.emit("drain"));
  return socket;
}
