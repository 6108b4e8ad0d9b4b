// What is at the end of a port, and whether this firmware will run on it: asked at the interpreter's prompt, in a table of what a board
// needs. Nothing is changed there. Leaves out the chip's own units (drivers.ts).

import type { Board } from "../../../boards/board";
import { BUILDS } from "../../../boards/builds";
import { Device, type DeviceState } from "../bench/device";
import type { Port } from "../bench/port";
import { ask } from "../bench/prompt";
import { showSaid } from "../cli/show";

/** What a blank board says of itself. */
export interface Interpreter {
  /** process.env.BOARD, VERSION, SERIAL. */
  board: string;
  version: string;
  chip: string;
  /** Variables of the heap, and bytes of each. */
  variables: number;
  variableBytes: number;
  /** Members of `require("crypto")` that we use: AES, SHA1, SHA256. */
  crypto: string[];
  /** Modules of MODULES that can be required. */
  modules: string[];
  /** Bytes of Storage; 0 where it does not tell. */
  storage: number;
}

/** One thing that a board needs. */
export interface Finding {
  what: string;
  found: string;
  isGood: boolean;
  /** What to do about it. */
  advice?: string;
}

export interface Examination {
  state: DeviceState;
  /** Undefined on a device that is locked. */
  interpreter?: Interpreter;
  /** Boards of ours that it may be, the likeliest first. */
  boards: Board[];
  findings: Finding[];
}

/** Release of Espruino that the firmware is tested on, and the first that knows its tokens. */
export const TESTED_VERSION = "2v29";

/** Least heap on which a session, the console and an update run, variables. */
const LEAST_VARIABLES = 500;

const MODULES = ["Storage", "Flash", "net", "crypto", "heatshrink", "Wifi", "WIZnet"];
const NATIVES = ["AES", "SHA1", "SHA256"];

const FLASH_IT = "flash the build that boards/README.md names for your module";

/** Ask whatever is there. Throws NoAnswer where nothing answers. `boards`: all that have a data file. */
export async function examine(port: Port, boards: readonly Board[]): Promise<Examination> {
  const device = new Device(port, boards[0]);
  const state = await device.identify();
  if (state.mode === "locked") return { state, boards: [], findings: [] };
  const interpreter = await askInterpreter(port);
  const candidates = boardsFor(interpreter, boards);
  return { state, interpreter, boards: candidates, findings: judge(interpreter, candidates[0]) };
}

async function askInterpreter(port: Port): Promise<Interpreter> {
  const has = (names: string[], test: string) => `${JSON.stringify(names)}.filter(function(n){${test}})`;
  const answer = await ask(
    port,
    `(function(e,m){return JSON.stringify({board:e.BOARD,version:e.VERSION,chip:e.SERIAL,variables:m.total,` +
      `variableBytes:m.blocksize,storage:e.STORAGE||0,` +
      `modules:${has(MODULES, "try{return !!require(n)}catch(e){return false}")},` +
      `crypto:${has(NATIVES, 'try{return !!require("crypto")[n]}catch(e){return false}')}})})` +
      `(process.env,process.memory())`,
    5000,
  );
  return interpreterOf(answer);
}

/** Take what a board says of itself as text, numbers and known names, whatever it is. */
function interpreterOf(answer: string): Interpreter {
  let said: Partial<Record<keyof Interpreter, unknown>> = {};
  try {
    said = Object(JSON.parse(answer));
  } catch {} // it says nothing
  const text = (value: unknown) => showSaid(String(value ?? "unknown"));
  const number = (value: unknown) => (Number.isFinite(value) ? (value as number) : 0);
  const names = (value: unknown, known: readonly string[]) =>
    known.filter((name) => Array.isArray(value) && value.includes(name));
  return {
    board: text(said.board),
    version: text(said.version),
    chip: text(said.chip),
    variables: number(said.variables),
    variableBytes: number(said.variableBytes),
    storage: number(said.storage),
    modules: names(said.modules, MODULES),
    crypto: names(said.crypto, NATIVES),
  };
}

/** Find the boards whose build of Espruino this is: by its name, then by the ciphers that it has. */
function boardsFor({ board, crypto }: Interpreter, boards: readonly Board[]): Board[] {
  const ofBuild = boards.filter(({ espruino }) => espruino === board);
  const misses = ({ espruino }: Board) =>
    NATIVES.filter((name) => BUILDS[espruino].crypto.includes(name as never) !== crypto.includes(name))
      .length;
  const least = Math.min(...ofBuild.map(misses));
  // the simulated twins come last: on a chip they are nobody
  return ofBuild
    .filter((each) => misses(each) === least)
    .sort((a, b) => Number(a.simulates !== undefined) - Number(b.simulates !== undefined));
}

/** Hold what is there to what the board's data ask for. */
function judge(found: Interpreter, board: Board | undefined): Finding[] {
  const findings: Finding[] = [
    {
      what: "Espruino",
      found: found.version,
      isGood: versionNumber(found.version) >= versionNumber(TESTED_VERSION),
      advice: `it is older than ${TESTED_VERSION}, which this firmware needs: ${FLASH_IT}`,
    },
    {
      what: "board",
      found: board ? `${found.board}: boards/${board.name}.ts` : found.board,
      isGood: board !== undefined,
      advice: "no file of boards/ is for this build; boards/README.md says how one is added",
    },
    {
      what: "variables",
      found: `${found.variables} of ${found.variableBytes} bytes`,
      isGood: found.variables >= LEAST_VARIABLES,
      advice: `${LEAST_VARIABLES} are the fewest; close what runs on the board, or take a build with more`,
    },
  ];
  if (!board) return findings;
  const needed = (name: string, isNeeded: boolean) => (isNeeded ? [name] : []);
  const missing = [
    ...["Storage", "Flash", "net"],
    ...needed("crypto", board.aes128 === "native_aes" || board.digest === "native_digest"),
    ...needed("heatshrink", board.heatshrink),
    ...needed("Wifi", board.network === "esp_wifi"),
    ...needed("WIZnet", board.network === "w5500"),
  ].filter((name) => !found.modules.includes(name));
  const missingNatives = [
    ...needed("AES", board.aes128 === "native_aes"),
    ...(board.digest === "native_digest" ? ["SHA1", "SHA256"] : []),
  ].filter((name) => !found.crypto.includes(name));
  const list = (names: string[]) => (names.length ? `no ${names.join(", ")}` : "all that are needed");
  findings.push(
    { what: "modules", found: list(missing), isGood: !missing.length, advice: FLASH_IT },
    { what: "native crypto", found: list(missingNatives), isGood: !missingNatives.length, advice: FLASH_IT },
    {
      what: "Storage",
      found: `${found.storage || "unknown many"} bytes`,
      isGood: !found.storage || found.storage >= board.storageLength,
      advice: `boards/${board.name}.ts asks for ${board.storageLength}: ${FLASH_IT}`,
    },
  );
  return findings;
}

/** Order Espruino's versions: 2v29 before 2v29.12 before 2v30. */
function versionNumber(version: string): number {
  const [, major = "0", minor = "0", build = "0"] = /^(\d+)v(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  return (Number(major) * 1000 + Number(minor)) * 10_000 + Number(build);
}
