// TCP over Espruino's `net` library, on every board alike. Past its traps: the data listener is attached in
// the same turn (a later one gets its backlog again and again), the callback is given and `connect` not
// listened to (both together are neither), and connect throws where it cannot make a socket, or DNS does not
// know the name: its message alone tells which. Listeners stand where `on` would put a list of each, two variables
// more; and where the socket leads to is not kept, seven variables: after connect nobody asks for it.
import { NAME_UNKNOWN, type Server, type Socket } from "../hal";

/** Open a TCP connection (TcpSocket in hal.ts). */
export function tcpConnect(server: Server, onEvent: (event?: unknown) => void): Socket | undefined {
  try {
    const socket: any = require("net").connect(server, onEvent);
    socket["#ondata"] = socket["#ondrain"] = socket["#onclose"] = onEvent;
    delete socket.opt;
    return socket;
  } catch (error) {
    if ((error as Error).message.substr(-4) === "host") throw NAME_UNKNOWN;
    setTimeout(onEvent, 0, true);
  }
}
