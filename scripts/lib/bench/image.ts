// What goes into a board's Storage besides settings and keys: the place for the key record, the bundle, and the program
// that the bench works with. And the same as a file that a programmer takes: Intel hex made by the espruino CLI, and the
// plain bytes of it. Leaves out how it gets onto a board (device.ts).
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import { detokenise } from "../../../hal/simulator/tokens";
import { BUNDLE_FILE, buildBundle } from "../build";
import { parse } from "../bundle/syntax";
import { UsageError } from "../exit";
import { type ImageFiles, KEY_FILE, PROVISION_FILE, RECORD_LENGTH } from "./device";
import { runCli } from "./upload";

/** Largest bundle (house.md), bytes. */
const BUNDLE_LIMIT = 16384;

/** Build the bundle of a board, or read it from a file, and build the bench's program. */
export async function bundleFiles(board: string, path?: string): Promise<ImageFiles> {
  const bundle = path === undefined ? (await buildBundle({ board })).code : readBundle(path);
  const program = await buildBundle({ board, entry: "firmware/provision.ts" });
  return { [BUNDLE_FILE]: bundle, [PROVISION_FILE]: program.code };
}

function readBundle(path: string): string {
  if (!existsSync(path)) throw new UsageError(`there is no bundle ${path}.`);
  let bundle: string;
  try {
    bundle = readFileSync(path, "latin1");
  } catch (error) {
    throw new UsageError(`cannot read the bundle ${path}: ${(error as Error).message}.`);
  }
  if (bundle.length === 0 || bundle.length > BUNDLE_LIMIT)
    throw new UsageError(`${path} has ${bundle.length} bytes, and a bundle has 1 to ${BUNDLE_LIMIT}.`);
  try {
    parse(detokenise(bundle));
  } catch (error) {
    throw new UsageError(`${path} is no bundle: ${(error as Error).message}.`);
  }
  return bundle;
}

/** An image of all of Storage. */
export interface Image {
  hex: string;
  bytes: Buffer;
  /** Where the bytes belong in the chip's flash. */
  address: number;
}

/** Make the image with the espruino CLI. */
export async function makeImage(board: Board, files: ImageFiles): Promise<Image> {
  const all: ImageFiles = { [KEY_FILE]: "\xff".repeat(RECORD_LENGTH), ...files };
  const names = Object.keys(all);
  let hex = "";
  const { output } = await runCli(
    board,
    Object.fromEntries(names.map((name, i) => [`${i}.bin`, all[name]])),
    (folder) => [
      ...names.flatMap((name, i) => ["--storage", `${name}:${folder}/${i}.bin`]),
      ...["--ohex", `${folder}/image.hex`],
    ],
    undefined,
    (folder) => {
      const path = join(folder, "image.hex");
      if (existsSync(path)) hex = readFileSync(path, "latin1");
    },
  );
  if (!hex) throw new Error(`the espruino CLI made no image: ${output}`);
  return { hex, ...bytesOfHex(hex) };
}

/** Read Intel hex: records of data (0), end (1), upper address (4), each with its checksum. */
export function bytesOfHex(hex: string): { bytes: Buffer; address: number } {
  const pieces: Buffer[] = [];
  let upper = 0;
  let start: number | undefined;
  let next = 0;
  for (const line of hex.split(/\r?\n/)) {
    if (!line) continue;
    const record = Buffer.from(line.slice(1), "hex");
    const sum = record.reduce((total, byte) => total + byte, 0) & 0xff;
    if (line[0] !== ":" || record.length !== record[0] + 5 || sum !== 0)
      throw new Error(`no record of Intel hex: ${line}`);
    const data = record.subarray(4, 4 + record[0]);
    if (record[3] === 4) upper = data.readUInt16BE() * 0x10000;
    if (record[3] !== 0) continue;
    const address = upper + record.readUInt16BE(1);
    start ??= next = address;
    if (address !== next) throw new Error(`a gap in the image at ${address}`);
    pieces.push(data);
    next += data.length;
  }
  return { bytes: Buffer.concat(pieces), address: start ?? 0 };
}
