// What a handshake and a record cost the real interpreter, in instructions: valgrind counts a run of board linux's bundle that makes
// one and a run that does not, the difference is what it costs. ESPRUINO_BIN names the interpreter; the limit that
// the project holds is for a 64-bit build. Leaves out memory, which the engine tests watch.
import { spawnSync } from "node:child_process";
import { loneBundle } from "../../../hal/simulator/lone_bundle";
import { buildBundle } from "../bundle/build";
import { IDENTITY, KEY } from "./device";
import { ENGINE, Engine } from "./engine";
import { startScriptedServer } from "./scripted_server";
import { profileWith, type Suite } from "./tls12/suites";

/** Most instructions of a handshake on the 64-bit build. */
export const INSTRUCTION_LIMIT = 55e6;

const VALGRIND = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"];

/** Tell why instructions cannot be counted here; undefined where they can. */
export function cannotCount(): string | undefined {
  if (!ENGINE) return "ESPRUINO_BIN names no interpreter";
  return spawnSync("valgrind", ["--version"]).status === 0 ? undefined : "valgrind is not installed";
}

/** Instructions of one handshake, and of a record of 512 bytes that is sent and comes back. */
export interface Instructions {
  handshake: number;
  records: number;
}

/** Count the instructions of each suite. */
export async function countInstructions(suites: readonly Suite[]): Promise<Map<number, Instructions>> {
  const counts = new Map<number, Instructions>();
  for (const suite of suites) {
    const entry = "firmware/tls/socket_app.ts";
    const { code } = await buildBundle({ board: "linux", entry, profile: profileWith(suite) });
    const server = await startScriptedServer({ key: () => KEY, suites: [suite.code], joinMessages: true });
    const ready = "print('ready'); quit();";
    const session = (stands: string) =>
      `var s = tls.connect({ host: "127.0.0.1", port: ${server.port} }, function () { ${stands} });
        s.on("data", function () { ${ready} });
        s.on("error", function (code) { print("failed " + code); quit() })`;
    try {
      const idle = await instructions(code, ready);
      const shaken = await instructions(code, session(ready));
      const echoed = await instructions(code, session("s.write('x'.repeat(512))"));
      counts.set(suite.code, { handshake: shaken - idle, records: echoed - shaken });
    } finally {
      await server.stop();
    }
  }
  return counts;
}

/** Run the bundle and then `program` under valgrind, which must print "ready" and quit; gives all instructions. */
export async function instructions(bundle: string, program: string, key: Buffer = KEY): Promise<number> {
  const files = {
    // the record is the first of all, as the bench lays it out
    key: key.toString("latin1"),
    conf: JSON.stringify({ id: IDENTITY }),
    // a boot file runs before the bundle: what it sets off comes after
    ".boot0": `setTimeout(function () { ${program} }, 50);`,
    ...loneBundle(bundle),
  };
  const engine = new Engine(files, VALGRIND);
  try {
    await engine.line(/ready/, 120000);
    await engine.ended;
    const collected = /Collected : (\d+)/.exec(engine.lines.join("\n"));
    if (!collected) throw new Error(`valgrind counted nothing:\n${engine.lines.join("\n")}`);
    return Number(collected[1]);
  } finally {
    await engine.stop();
  }
}
