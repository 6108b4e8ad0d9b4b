// TCP over Espruino's `net` library, on every board alike. Past its traps: the data listener is attached in
// the same turn (a later one gets its backlog again and again), the callback is given and `connect` not
// listened to (both together are neither), and connect throws where it cannot make a socket, or DNS does not
// know the name: its message alone tells which.
import { NAME_UNKNOWN, type Socket } from "../hal";

/** Open a TCP connection (TcpSocket in hal.ts). */
export function tcpConnect(
  host: string,
  port: number,
  onEvent: (event?: unknown) => void,
): Socket | undefined {
  try {
    const socket = require("net").connect({ host: host, port: port }, onEvent);
    socket.on("data", onEvent);
    socket.on("drain", onEvent);
    socket.on("close", onEvent);
    return socket;
  } catch (error) {
    if ((error as Error).message.substr(-4) === "host") throw NAME_UNKNOWN;
    setTimeout(onEvent, 0, true);
  }
}
