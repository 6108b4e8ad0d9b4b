// The socket for applications: TLS where Espruino's own `net.connect` would stand, so that its MQTT and HTTP code can sit
// on it unchanged. Our own MQTT client does without: an emitter and its listeners are heap.
import type { Server } from "../../hal/hal";
import { HANDSHAKE_TIMEOUT_MS } from "../profile";
import { SESSION_DATA, SESSION_DRAINED, SESSION_STANDS } from "./session";

/** A TLS socket with the members of Espruino's net socket. */
export interface TlsSocket {
  /** Send data; returns false, as Espruino's sockets do: `drain` tells when all of it is on its way. */
  write(data: Joinable): boolean;
  /** Send data, if any, then close_notify, and close. */
  end(data?: Joinable): void;
  /** Listen: connect, data, drain, end, error (a code of alert.ts), close (whether there was an error). */
  on(event: string, listener: (value: any) => void): void;
}

/** Connect to a server over TLS. Returns the socket, which `callback` gets when the session stands. */
export function connect(options: Server, callback?: (socket: TlsSocket) => void): TlsSocket {
  // every object of Espruino's is an emitter
  const socket: any = {
    write: (data: Joinable) => {
      section(import("./outgoing")).put(data);
      section(import("./session")).flush();
      return false;
    },
    end: (data?: Joinable) => {
      if (data) socket.write(data);
      section(import("./session")).shutdown(0);
    },
  };
  if (callback) socket.on("connect", callback);
  const timer = setTimeout(() => section(import("./session")).timeOut(), HANDSHAKE_TIMEOUT_MS);
  const onEvent = (event: number, code?: number): void => {
    if (event === SESSION_DATA) socket.emit("data", section(import("./record")).take());
    else if (event === SESSION_STANDS) socket.emit("connect", socket);
    else if (event === SESSION_DRAINED) socket.emit("drain");
    else {
      clearTimeout(timer);
      socket.emit(code ? "error" : "end", code);
      socket.emit("close", code !== 0);
    }
  };
  try {
    section(import("./session")).connect(options, onEvent);
  } catch (error) {
    section(import("./session")).shutdown(error);
  }
  return socket;
}
