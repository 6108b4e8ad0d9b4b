// What `npm run measure` does, once its command line is read (scripts/measure.ts has the options).

import type { Options } from "../../measure";
import { type Bundle, buildBundle } from "../bundle/build";
import { measure } from "../bundle/byte_origins";
import { sizeTable } from "../bundle/sizes";
import { cannotCount, countInstructions, INSTRUCTION_LIMIT } from "./engine_cost";
import { cannotFindPeak, findPeak, type Peak, peakLine } from "./engine_run";
import {
  type Cost,
  type Figures,
  handshakeCost,
  handshakeLimit,
  IDENTITY_LENGTH,
  offered,
  recordLimit,
} from "./handshake_cost";
import { GCM } from "./tls12/suites";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  if (options.profiles) return (await import("./profile_figures")).printProfiles(options);
  const suites = offered(OWN);
  const own: Cost[] = [];
  const native: Cost[] = [];
  for (const suite of suites) {
    own.push(await handshakeCost(suite, OWN));
    native.push(await handshakeCost(suite, NATIVE));
  }
  const bundle: Bundle = await buildBundle({ board: BUNDLE });
  const sizes = measure(BUNDLE, bundle.code, bundle.map, bundle.sections);
  const unable = cannotCount();
  const instructions = unable ? undefined : await countInstructions([...suites, GCM]);
  const noPeaks = cannotFindPeak();
  const peaks: Peak[] = [];
  if (!noPeaks) {
    const { code } = await buildBundle({ board: "linux" });
    for (const suite of suites) peaks.push(await findPeak(code, suite, peaks[0]?.peak || undefined));
  }

  if (options.json) {
    const counted = own.map((cost, i) => ({
      ...cost,
      suite: cost.suite.name,
      limit: handshakeLimit(cost.suite, suites, IDENTITY_LENGTH),
      nativeCalls: native[i].nativeCalls,
      instructions: instructions?.get(cost.suite.code)?.handshake,
      peak: peaks[i] && { variables: peaks[i].peak, of: peaks[i].total },
    }));
    console.log(JSON.stringify({ handshakes: counted, sizes }));
    return;
  }
  console.log(
    `Handshake, identity of ${IDENTITY_LENGTH} bytes: measured / least with our extensions (${OWN}, own digest)`,
  );
  table(
    own.map((cost) => ({
      name: cost.suite.name,
      figures: cost,
      limit: handshakeLimit(cost.suite, suites, IDENTITY_LENGTH),
    })),
  );
  console.log(
    `  before the ClientHello: ${own[0].seedBlocks} AES blocks condition the noise and make the random`,
  );
  for (const way of ["out", "in"] as const) {
    console.log(`\nRecord of 512 bytes ${way}`);
    table(
      own.map((cost) => ({
        name: cost.suite.name,
        figures: cost.record[way],
        limit: recordLimit(cost.suite, way === "out"),
      })),
    );
  }
  console.log(
    `\nNative calls of a handshake (${NATIVE}), the noise's conditioning too; instructions on the interpreter`,
  );
  for (const { suite, nativeCalls } of native) {
    const count = instructions?.get(suite.code)?.handshake;
    const figure =
      count === undefined ? "" : `  ${(count / 1e6).toFixed(1)} / ${INSTRUCTION_LIMIT / 1e6} million`;
    console.log(`  ${suite.name.padEnd(34)}${String(nativeCalls).padStart(5)} calls${figure}`);
  }
  if (instructions)
    console.log("\nInstructions of a record of 512 bytes out and one in, each suite under its profile");
  for (const suite of instructions ? [...suites, GCM] : []) {
    const { records = 0 } = instructions?.get(suite.code) ?? {};
    console.log(`  ${suite.name.padEnd(34)}${(records / 1e6).toFixed(1).padStart(6)} million`);
  }
  if (unable) console.log(`  no instructions: ${unable}`);
  console.log("\nVariables over boot, handshake, MQTT and ten records of 512 bytes each way (linux)");
  for (const [i, peak] of peaks.entries()) console.log(`  ${peakLine(suites[i], peak)}`);
  if (noPeaks) console.log(`  none: ${noPeaks}`);
  console.log(`\n${sizeTable(sizes)}`);
}
/** Whose own digest counts compressions as firmware/README.md does, and whose native one shows calls. */
const OWN = "esp32-idf4-sim";
const NATIVE = "esp32-sim";
/** The board whose bundle has a size to reach. */
const BUNDLE = "esp32";

/** Print figures beside their limits, a line a suite. */
function table(rows: { name: string; figures: Figures; limit: Figures }[]): void {
  const columns = {
    "bytes out": "bytesOut",
    "bytes in": "bytesIn",
    "SHA-1": "sha1",
    "SHA-256": "sha256",
    "AES blocks": "aes",
  } as const;
  console.log(
    `  ${"".padEnd(34)}${Object.keys(columns)
      .map((head) => head.padStart(11))
      .join("")}`,
  );
  for (const { name, figures, limit } of rows) {
    const cells = Object.values(columns).map((key) => `${figures[key]} / ${limit[key]}`.padStart(11));
    console.log(`  ${name.padEnd(34)}${cells.join("")}`);
  }
}
