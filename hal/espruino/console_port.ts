// The console's serial port, taken from the interpreter: the prompt is moved to a loopback device that nobody
// reads, and stays there (force), so that no byte reaches it, Ctrl-C neither. The board's data names the
// port, a global of Espruino's.
import { board } from "board";
import type { Bytes } from "../../firmware/bytes";

/** Take the port (Serial in hal.ts). */
export function serialTake(): void {
  E.setConsole("LoopbackB", { force: true });
}

/** Listen to the port (Serial in hal.ts), where Espruino looks: `on` would make a list, two variables more. */
export function serialOpen(onData: (bytes: Bytes) => void): void {
  (board.consolePort === "USB" ? USB : (Serial1 as any))["#ondata"] = onData;
}

/** Tell whether somebody listens (Serial in hal.ts). */
export function serialIsOpen(): boolean {
  return (board.consolePort === "USB" ? USB : (Serial1 as any))["#ondata"];
}

/** Write to the port (Serial in hal.ts). */
export function serialWrite(text: string): void {
  (board.consolePort === "USB" ? USB : Serial1).write(text);
}
