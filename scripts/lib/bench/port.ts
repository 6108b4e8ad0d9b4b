// A device's port, held open by the bench for as long as the device is there: a serial line (115,200 baud, 8N1) through
// the `serialport` package, or a TCP console. Bytes in, bytes out; whoever listens last gets what arrives.
// Leaves out what the bytes mean (prompt.ts, locked.ts).
import { readdirSync, statSync } from "node:fs";
import { connect } from "node:net";
import { SerialPort } from "serialport";
import { UsageError } from "../cli/exit";
import { endpoint } from "../cli/options";
import { TCP } from "./port_name";

/** Bits per second of every board's console (boards/board.ts). */
export const LINE_RATE = 115_200;
/** Bits that one byte takes on the line: start, 8, stop. */
export const BITS_PER_BYTE = 10;

const CONNECT_TIMEOUT_MS = 3000;
/** How often is looked whether a serial port is still there. */
const LOOK_MS = 500;
/** Bytes that are handed to the line at once: 44 ms of it. */
const PIECE = 512;

/** The port is gone, or cannot be had. */
export class PortClosed extends Error {
  override name = "PortClosed";
}

/** Why a port cannot be had, from the words of Node and of the system. */
const FAULTS: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, "nothing listens there"],
  [/ENOTFOUND|EAI_AGAIN/, "there is no such host"],
  [/EHOSTUNREACH|ENETUNREACH/, "there is no way to it"],
  [/ENOENT|No such file/, "there is no such port: plug the device in, or look up its name"],
  [/EACCES|EPERM|Permission denied/, "it is not permitted; on Linux your user must be in the group dialout"],
  [/EBUSY|EAGAIN|Cannot lock|temporarily unavailable/, "another program has it open"],
  [/ENOTTY|Inappropriate ioctl|ENXIO|EIO/, "it is no serial port, or the device has gone"],
];

function portFault({ message, code }: NodeJS.ErrnoException): string {
  const found = FAULTS.find(([pattern]) => pattern.test(`${code} ${message}`));
  return found ? found[1] : message;
}

interface Line {
  write(bytes: Buffer, done: (error?: Error | null) => void): unknown;
  destroy(): void;
}

/** An open port. */
export class Port {
  /** Settles when the port is gone, whoever closed it. */
  readonly closed: Promise<void>;
  isOpen = true;
  private listeners: ((bytes: Buffer) => void)[] = [];
  private ended!: () => void;

  private constructor(
    readonly name: string,
    private readonly line: Line,
  ) {
    this.closed = new Promise((resolve) => {
      this.ended = () => {
        this.isOpen = false;
        resolve();
      };
    });
  }

  /** Open it. Throws PortClosed with the reason where that fails. */
  static open(name: string): Promise<Port> {
    return name.startsWith(TCP) ? Port.openTcp(name) : Port.openSerial(name);
  }

  private static openTcp(name: string): Promise<Port> {
    return new Promise((resolve, reject) => {
      const { host, port } = endpoint(name.slice(TCP.length));
      const socket = connect({ host, port, noDelay: true });
      const opened = new Port(name, { write: (bytes, done) => socket.write(bytes, done), destroy });
      function destroy() {
        socket.destroy();
      }
      const timer = setTimeout(() => socket.destroy(new Error("it does not answer")), CONNECT_TIMEOUT_MS);
      socket.once("connect", () => {
        clearTimeout(timer);
        resolve(opened);
      });
      socket.on("data", (bytes) => opened.take(bytes));
      socket.on("error", (error) => reject(new PortClosed(`${name}: ${portFault(error)}`)));
      socket.on("end", destroy);
      socket.on("close", () => {
        clearTimeout(timer);
        opened.ended();
      });
    });
  }

  private static openSerial(name: string): Promise<Port> {
    return new Promise((resolve, reject) => {
      // hupcl off: the modem lines of many boards are their reset
      const serial = new SerialPort({ path: name, baudRate: LINE_RATE, hupcl: false, autoOpen: false });
      const opened = new Port(name, {
        write: (bytes, done) =>
          serial.write(bytes, undefined, (error) => (error ? done(error) : serial.drain(done))),
        destroy() {
          if (serial.isOpen) serial.close(() => opened.ended());
          else if (!serial.closing) opened.ended();
        },
      });
      serial.on("data", (bytes: Buffer) => opened.take(bytes));
      serial.on("error", () => opened.close());
      serial.on("close", () => opened.ended());
      serial.open((error) => {
        if (error) {
          opened.ended();
          reject(new PortClosed(`${name}: ${portFault(error)}`));
          return;
        }
        // unplugged amid a read, the package reads the end of the file again and again and tells nobody
        const plugged = plugOf(name);
        const looking = setInterval(() => plugOf(name) === plugged || opened.close(), LOOK_MS);
        opened.closed.then(() => clearInterval(looking));
        resolve(opened);
      });
    });
  }

  /** Send bytes, piece by piece; settles when the line has taken them. Throws PortClosed when it is gone. */
  async write(bytes: Buffer | string, onSent: (count: number) => void = () => {}): Promise<void> {
    const buffer = typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes;
    for (let at = 0; at < buffer.length; at += PIECE) {
      if (!this.isOpen) throw new PortClosed(`${this.name} is closed`);
      const piece = buffer.subarray(at, at + PIECE);
      const written = new Promise<void>((resolve, reject) => {
        this.line.write(piece, (error) => {
          if (!error) return resolve();
          // a line that takes nothing is gone, whether it says so or not
          this.close();
          reject(new PortClosed(error.message));
        });
      });
      written.catch(() => {});
      await Promise.race([written, this.gone()]);
      onSent(piece.length);
    }
  }

  /** Reject with PortClosed when the port goes. */
  gone(): Promise<never> {
    return this.closed.then(() => {
      throw new PortClosed(`${this.name} was closed`);
    });
  }

  /** Get all bytes from now on, alone, until the returned function is called. */
  listen(listener: (bytes: Buffer) => void): () => void {
    this.listeners.push(listener);
    return () => {
      this.listeners = this.listeners.filter((other) => other !== listener);
    };
  }

  close(): void {
    this.line.destroy();
  }

  private take(bytes: Buffer): void {
    this.listeners.at(-1)?.(bytes);
  }
}

// ----------------------------------------------------------------------------------------- what is plugged in

/** Tell whether something can be opened under the name: a serial port's file is there; a TCP port always may. */
export function isPresent(name: string): boolean {
  if (name.startsWith(TCP) || /^COM\d/.test(name)) return true;
  return plugOf(name) !== undefined;
}

/** Tell one plugging in of a serial port from the next: its file is another one. Undefined: it is not there, or has no file. */
function plugOf(name: string): number | undefined {
  return statSync(name, { throwIfNoEntry: false })?.ino;
}

/** USB serial ports as Linux names them; everywhere else the package knows. */
const USB_SERIAL = /^tty(USB|ACM)\d+$/;

/** List the USB serial ports that are plugged in. */
export async function pluggedIn(): Promise<string[]> {
  if (process.platform === "linux") {
    return readdirSync("/dev")
      .filter((name) => USB_SERIAL.test(name))
      .map((name) => `/dev/${name}`)
      .sort();
  }
  return (await SerialPort.list()).filter(({ vendorId }) => vendorId).map(({ path }) => path);
}

/** Find the serial port that is plugged in. Throws UsageError where there is none, or more than one. */
export async function onlyPort(): Promise<string> {
  const ports = await pluggedIn();
  if (ports.length === 1) return ports[0];
  throw new UsageError(
    ports.length
      ? `${ports.length} boards are plugged in (${ports.join(", ")}): say which with --port.`
      : "no USB serial port is plugged in; --port names any other.",
  );
}
