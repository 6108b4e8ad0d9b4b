// The console's serial port, taken from the interpreter: the prompt is moved to a loopback device that nobody
// reads, and stays there (force), so that no byte reaches it, Ctrl-C neither. The board's data names the
// port.
import { board } from "board";
import type { Bytes } from "../../firmware/bytes";

// a port is a global of Espruino's by the name in the board's data
let port: any;

/** Take the port (Serial in hal.ts). */
export function serialOpen(onData: (bytes: Bytes) => void): void {
  port = global[board.consolePort];
  E.setConsole("LoopbackB", { force: true });
  port.on("data", onData);
}

/** Write to the port (Serial in hal.ts). */
export function serialWrite(text: string): void {
  port.write(text);
}
