// TCP over Espruino's `net` library, on every board alike. Past its traps: the data listener is attached in
// the same turn (a later one gets its backlog again and again), the callback is given and `connect` not
// listened to (both together are neither), and connect throws where it cannot make a socket.
import type { Bytes } from "../../firmware/bytes";
import type { Socket } from "../hal";

/** Open a TCP connection (TcpSocket in hal.ts). */
export function tcpConnect(
  host: string,
  port: number,
  onOpen: () => void,
  onData: (bytes: Bytes) => void,
  onClose: (hadError: boolean) => void,
): Socket | undefined {
  try {
    const socket = require("net").connect({ host: host, port: port }, onOpen);
    socket.on("data", onData);
    socket.on("close", onClose);
    return socket;
  } catch (_) {
    setTimeout(onClose, 0, true);
  }
}
