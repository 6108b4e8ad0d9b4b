// Web Serial for a browser that has none, for tests: an object with its interface in the page, whose bytes go to a port of
// this process (bench/port.ts). Pulling the plug ends the page's streams with an error, as the real one does.
import type { Page } from "playwright-core";
import { Port } from "../bench/port";

/** What runs in the page before its own script. */
const IN_PAGE = `(() => {
  let controller;
  window.serialReceive = (bytes) => controller?.enqueue(Uint8Array.from(bytes));
  window.serialGone = () => { controller?.error(new DOMException("gone", "NetworkError")); controller = undefined; };
  const serial = {
    async requestPort() {
      const port = {
        readable: null,
        writable: null,
        async open({ baudRate }) {
          await window.serialOpen(baudRate);
          port.readable = new ReadableStream({ start(given) { controller = given; } });
          port.writable = new WritableStream({ write: (bytes) => window.serialWrite([...bytes]) });
        },
        async close() {
          port.readable = port.writable = null;
          await window.serialClose();
        },
      };
      return port;
    },
  };
  Object.defineProperty(navigator, "serial", { value: serial });
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
