// Web Serial for a browser that has none, for tests: an object with its interface in the page, whose bytes go to a port of
// this process (bench/port.ts). As in Chromium and in the specification (WICG, 4): a device has one SerialPort object for
// ever; after a break or a framing error `readable` is another stream, after the device is gone it is null, and the port stays
// open until it is closed; it opens once only; a port whose streams are locked does not close.
import type { Page } from "playwright-core";
import { Port } from "../bench/port";

/** What runs in the page before its own script. */
const IN_PAGE = `(() => {
  let isOpen = false, isGone = false, readable = null, writable = null, reading, writing;
  const failed = (name, text) => { throw new DOMException(text, name); };
  const port = {
    get readable() {
      if (!isOpen || isGone) return null;
      readable ??= new ReadableStream({ start(given) { reading = given; }, cancel() { readable = null; } });
      return readable;
    },
    get writable() {
      if (!isOpen || isGone) return null;
      writable ??= new WritableStream({
        start(given) { writing = given; },
        write: (bytes) => window.serialWrite([...bytes]),
        close() { writable = null; },
      });
      return writable;
    },
    async open({ baudRate }) {
      if (isOpen) failed("InvalidStateError", "The port is already open.");
      try { await window.serialOpen(baudRate); }
      catch { failed("NetworkError", "Failed to open serial port."); }
      isOpen = true;
      isGone = false;
    },
    async close() {
      if (!isOpen) failed("InvalidStateError", "The port is already closed.");
      if (readable?.locked || writable?.locked) throw new TypeError("Cannot cancel a locked stream");
      readable = writable = null;
      isOpen = false;
      await window.serialClose();
    },
  };
  const end = (error) => {
    reading?.error(error);
    readable = reading = null;
  };
  window.serialReceive = (bytes) => { if (port.readable) reading.enqueue(Uint8Array.from(bytes)); };
  // what the line's noise is to the page: BreakError, FramingError, ParityError, BufferOverrunError
  window.serialFault = (name) => { if (port.readable) end(new DOMException("noise", name)); };
  window.serialGone = () => {
    const error = new DOMException("The device has been lost.", "NetworkError");
    end(error);
    writing?.error(error);
    writable = writing = null;
    isGone = true;
  };
  Object.defineProperty(navigator, "serial", { value: { requestPort: async () => port } });
})()`;

/** Give the page a port, opened when the page opens it. `closed`: how often it was closed, `rates`: what it was opened with. */
export async function bridgeSerial(page: Page, name: () => string): Promise<{ rates: number[] }> {
  const rates: number[] = [];
  let port: Port | undefined;
  await page.exposeFunction("serialOpen", async (baudRate: number) => {
    rates.push(baudRate);
    const opened = await Port.open(name());
    port = opened;
    opened.listen((bytes) => {
      page.evaluate(`serialReceive(${JSON.stringify([...bytes])})`).catch(() => {});
    });
    void opened.closed.then(() => page.evaluate("serialGone()")).catch(() => {});
  });
  await page.exposeFunction("serialWrite", (bytes: number[]) => port?.write(Buffer.from(bytes)));
  await page.exposeFunction("serialClose", () => port?.close());
  await page.addInitScript(IN_PAGE);
  return { rates };
}
