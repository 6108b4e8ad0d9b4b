// How `npm run test:engine` reports: as Node's own reporter does, and then, as the last line, the peak of variables that the
// tests found, or that there was no interpreter to run them on. JavaScript, for Node loads reporters before tsx.
import { Readable } from "node:stream";
import { spec } from "node:test/reporters";

const PEAK = /^peak \d+ of \d+ variables$/m;

/** Pass events to Node's `spec` reporter and add the last line. */
export default async function* report(events) {
  let last = process.env.ESPRUINO_BIN
    ? ""
    : "ESPRUINO_BIN names no interpreter: the engine tests were skipped";
  async function* watched() {
    for await (const event of events) {
      const [line] = (event.type === "test:stdout" && event.data.message.match(PEAK)) || [];
      if (line) last = line;
      yield event;
    }
  }
  yield* Readable.from(watched()).pipe(new spec());
  if (last) yield `${last}\n`;
}
