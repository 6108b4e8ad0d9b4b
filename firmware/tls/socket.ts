// The socket for applications: TLS where Espruino's own `net.connect` would stand, so that its MQTT and HTTP code can sit
// on it unchanged. Our own MQTT client does without: an emitter and its listeners are heap.
import type { ByteSource } from "../../hal/hal";
import { HANDSHAKE_TIMEOUT_MS } from "../profile";
import { put } from "./record";
import {
  flush,
  connect as openSession,
  type SessionEvent,
  shutdown,
  timeOut,
  transportSocket,
} from "./session";

/** A TLS socket with the members of Espruino's net socket. */
export interface TlsSocket {
  /** Send data; returns false, as Espruino's sockets do: `drain` tells when all of it is on its way. */
  write(data: ByteSource): boolean;
  /** Send data, if any, then close_notify, and close. */
  end(data?: ByteSource): void;
  /** Listen: connect, data, drain, end, error (a code of alert.ts), close (whether there was an error). */
  on(event: string, listener: (value: any) => void): void;
}

/** Connect to a server over TLS. Returns the socket, which `callback` gets when the session stands. */
export function connect(
  options: { host: string; port: number },
  callback?: (socket: TlsSocket) => void,
): TlsSocket {
  // every object of Espruino's is an emitter
  const socket: any = {
    write: (data: ByteSource) => {
      put(E.toString(data));
      flush();
      return false;
    },
    end: (data?: ByteSource) => {
      if (data) socket.write(data);
      shutdown(0);
    },
  };
  if (callback) socket.on("connect", callback);
  const timer = setTimeout(timeOut, HANDSHAKE_TIMEOUT_MS);
  openSession(options, (event: SessionEvent) => {
    if (typeof event === "string") socket.emit("data", event);
    else if (typeof event === "number") {
      clearTimeout(timer);
      socket.emit(event ? "error" : "end", event);
      socket.emit("close", event !== 0);
    } else socket.emit("connect", socket);
  });
  const transport = transportSocket();
  if (transport) transport.on("drain", () => socket.emit("drain"));
  return socket;
}
