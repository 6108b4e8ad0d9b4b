// What the bench writes into a board's Storage, settings and keys aside: the place for the key record, the loader, the
// firmware in slot 0, and the program that the bench works with in slot 1 (ota/layout.ts). Laid out by the espruino CLI's --ohex, as
// bytes for the bench and as Intel hex for a programmer. Leaves out how it gets onto a board (device.ts).
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import { detokenise } from "../../../hal/tokens";
import { buildBundle, LOADER } from "../bundle/build";
import { profileGiven } from "../bundle/profile_option";
import { profileOf } from "../bundle/profiles";
import { parse } from "../bundle/syntax";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { imageDigest } from "../ota/digest";
import { imageLongest, storageFiles } from "../ota/layout";
import { runCli } from "./cli";

const { version } = createRequire(import.meta.url)("../../../package.json") as { version: string };

/** An image of all of Storage. */
export interface Image {
  /** Its files in their order, whole: one byte a character, 0xff where the flash stays erased. */
  files: Readonly<Record<string, string>>;
  /** Digest of the firmware (scripts/lib/ota/digest.ts), hex; its length, bytes. */
  digest: string;
  length: number;
  hex: string;
  /** Storage from its first byte to the end of the bench's program; what follows is erased. */
  bytes: Buffer;
  /** Where all of it belongs in the chip's flash, and its length with what is erased. */
  address: number;
  total: number;
}

/** How an image is made: `--bundle`, `--profile` and `--sequence` of bench, flash and image. */
export interface ImageOptions {
  /** The firmware's file; built where absent. */
  bundle?: string;
  /** Its profile, where it is built; default PROFILE of the environment, or main. */
  profile?: string;
  /** Of the firmware among the updates to come; 0 where absent. */
  sequence?: number;
}

/** Build loader, firmware, or read that from a file, and the bench's program for a board, and lay them out. */
export async function makeImage(board: Board, options: ImageOptions = {}): Promise<Image> {
  const { bundle: path, sequence } = options;
  const bundle =
    path === undefined
      ? (await buildBundle({ board: board.name, profile: inSlot(profileGiven(options).profile) })).code
      : readBundle(path, board);
  const loader = await buildBundle({ board: board.name, entry: LOADER });
  const program = await buildBundle({ board: board.name, entry: "firmware/boot/provision.ts" });
  const files = storageFiles(board, bundle, loader.code, { version, sequence, program: program.code });
  const hex = await hexOf(board, files);
  const { bytes, address } = bytesOfHex(hex);
  // behind the slots the CLI lays a file of its own
  const slotsEnd = board.slotsStart - board.storageStart + 2 * board.slotBytes;
  const end = bytes.subarray(0, slotsEnd).findLastIndex((byte) => byte !== 0xff) + 1;
  return {
    ...{ files, hex, address, bytes: bytes.subarray(0, end), total: bytes.length },
    ...{ digest: imageDigest(Buffer.from(bundle, "latin1")).toString("hex"), length: bundle.length },
  };
}

/** Hold a profile to be one that lies in a slot. Throws UsageError. */
function inSlot(profile: string): string {
  if (profileOf(profile).isBootFile)
    throw new UsageError(
      `the profile ${profile} has no loader and no slots: make bundle PROFILE=${profile}, and write firmware.js as .bootrst.`,
    );
  return profile;
}

/** Read firmware from a file. Throws UsageError where it is none, or too long. */
export function readBundle(path: string, board: Board): string {
  if (!existsSync(path)) throw new UsageError(`there is no bundle ${path}.`);
  let bundle: string;
  try {
    bundle = readFileSync(path, "latin1");
  } catch (error) {
    throw new UsageError(`cannot read the bundle ${path}: ${fileFault(error)}.`);
  }
  if (bundle.length === 0 || bundle.length > imageLongest(board))
    throw new UsageError(
      `${path} has ${bundle.length} bytes, and a slot of ${board.name} takes 1 to ${imageLongest(board)}.`,
    );
  try {
    parse(detokenise(bundle));
  } catch (error) {
    throw new UsageError(`${path} is no bundle: ${(error as Error).message}.`);
  }
  return bundle;
}

/** Lay files out in Storage: Intel hex of all of it. */
async function hexOf(board: Board, files: Image["files"]): Promise<string> {
  const names = Object.keys(files);
  let hex = "";
  const { output } = await runCli(
    board,
    // names of their own, since those of Storage may be no file names
    Object.fromEntries(names.map((name, i) => [`${i}.bin`, files[name]])),
    (folder) => [
      ...names.flatMap((name, i) => ["--storage", `${name}:${folder}/${i}.bin`]),
      ...["--ohex", `${folder}/image.hex`],
    ],
    (folder) => {
      const path = join(folder, "image.hex");
      if (existsSync(path)) hex = readFileSync(path, "latin1");
    },
  );
  if (!hex) throw new Error(`the espruino CLI made no image: ${output}`);
  return hex;
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
