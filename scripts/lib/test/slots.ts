/*
 * A simulated board with the loader and two slots, for tests: any program as an image in either, keys, the journal.
 */
import { createCipheriv, createHash } from "node:crypto";
import { AT_TAG, AT_TYPE, MANIFEST_BYTES, TYPE_REKEY } from "../../../firmware/ota/manifest";
import { Machine, type MachineOptions } from "../../../hal/simulator/machine";
import { LOADER, readBoard } from "../bundle/build";
import { parseIdentity } from "../keys/identity";
import { imageDigest } from "../ota/digest";
import { slotOf, storageFiles } from "../ota/layout";
import { addressManifest, type ImageFields, manifestOfImage } from "../ota/manifest";
import { bundleOf, IDENTITY, type SimulatedBoard } from "./device";
import { type Keys, mac } from "./factory";

export interface SlotsOptions {
  /** What lies in the slots; undefined: erased. */
  images: readonly [TestImage | undefined, TestImage | undefined];
  /** Undefined: a blank device. */
  keys?: Keys;
  /** Further files. */
  files?: Record<string, string>;
  /** Fields of the board's data with other values. */
  board?: Record<string, unknown>;
  machine?: Partial<MachineOptions>;
  /** Constants of the loader's profile with other values. */
  defines?: Record<string, number>;
}

export interface TestImage {
  code: string;
  sequence?: number;
}

/** A board as it lies in flash, not started yet. */
export async function makeMachine(name: SimulatedBoard, options: SlotsOptions): Promise<Machine> {
  const board = { ...(await readBoard(name)), ...options.board } as unknown as Machine["board"];
  const loader = (await bundleOf(name, LOADER, options.defines, options.board)).code;
  const files = storageFiles(board, " ", loader);
  if (options.keys) files.key = options.keys.record.toString("latin1");
  files[".slots"] = options.images.map((image) => contentOf(board, image)).join("");
  const conf = JSON.stringify({ id: IDENTITY, host: "127.0.0.1", port: 1, ssid: "test", pass: "test" });
  return new Machine({ board, files: { ...files, conf, ...options.files }, ...options.machine });
}

/** The manifest of an image for the test's identity, without a tag. */
export function testManifest(board: { hardware: number }, { code, sequence = 1 }: TestImage): Buffer {
  return manifestOfImage({
    ...{ product: "sensor", version: `v${sequence}`, sequence, encoding: "none" },
    ...{ hardware: 2 ** board.hardware, length: code.length },
    digest: imageDigest(Buffer.from(code, "latin1")),
  });
}

function contentOf(board: Machine["board"], image: TestImage | undefined): string {
  return image ? slotOf(board, image.code, testManifest(board, image)) : "\xff".repeat(board.slotBytes);
}

/** Where a slot begins in `machine.flash`. */
export function slotStart({ board }: Machine, nth: number): number {
  return board.slotsStart - board.storageStart + nth * board.slotBytes;
}

/** Where the journal begins in `machine.flash`. */
export function journalAt({ flash, board }: Machine): number {
  return flash.length - 2 * board.journalLength;
}

export interface TestState {
  active: number;
  attempts: number;
  reason: number;
  floor: number;
  number: number;
}

/** A STATE record with its seal (firmware/store/journal.ts). */
export function stateRecord(keys: Keys, state: Partial<TestState>): Buffer {
  const { active = 0, attempts = 0, reason = 0, floor = 0, number = 1 } = state;
  const record = Buffer.from([1, active, attempts, 0, reason >> 8, reason, ...Buffer.alloc(10)]);
  record.writeUInt32BE(floor, 8);
  record.writeUInt32BE(number, 12);
  return sealed(keys, record);
}

function sealed(keys: Keys, record: Buffer): Buffer {
  const seal = createHash("sha256").update(keys.all[1]).update(record).digest();
  return Buffer.concat([record, seal.subarray(0, 16)]);
}

/** Put a STATE into the journal's first place, in erased flash. */
export function setState(machine: Machine, keys: Keys, state: Partial<TestState>): void {
  stateRecord(keys, state).copy(machine.flash.bytes, journalAt(machine));
}

/** Read the newest valid STATE, as the device finds it; undefined where there is none. */
export function readState(machine: Machine, keys: Keys): TestState | undefined {
  let best: TestState | undefined;
  for (let at = journalAt(machine); at < machine.flash.length; at += 32) {
    const record = machine.flash.bytes.subarray(at, at + 16);
    if (record[0] !== 1 || !sealed(keys, record).equals(machine.flash.bytes.subarray(at, at + 32))) continue;
    const number = record.readUInt32BE(12);
    if (best && best.number >= number) continue;
    const [, active, attempts] = record;
    best = { active, attempts, reason: record.readUInt16BE(4), floor: record.readUInt32BE(8), number };
  }
  return best;
}

/** The manifest of an update for a device of these keys and the test's identity, signed. */
export function signedManifest(keys: Keys, fields: ImageFields, identity = IDENTITY): Buffer {
  const manifest = manifestOfImage(fields);
  addressManifest(manifest, parseIdentity(identity));
  return signed(keys, manifest);
}

/** Put the tag into a manifest, which keys may follow. */
export function signed(keys: Keys, manifest: Buffer): Buffer {
  mac(keys.all[1], manifest.subarray(0, AT_TAG), manifest.subarray(MANIFEST_BYTES)).copy(manifest, AT_TAG);
  return manifest;
}

/** Make a manifest one of TYPE_REKEY with `next` as keys of `version` behind it, wrapped under the `rekey` key of `keys`; signed. */
export function rekeyed(keys: Keys, manifest: Buffer, next: Keys, version: number): Buffer {
  const message = Buffer.concat([manifest, next.record, Buffer.from([version, 0, 0, 0])]);
  message[AT_TYPE] = TYPE_REKEY;
  for (let i = 0; i < 5; i++) {
    const block = Buffer.from([2, ...message.subarray(1, 13), 0, 0, i]);
    const stream = createCipheriv("aes-128-ecb", keys.all[3], null).update(block);
    for (let j = 0; j < 16; j++) message[MANIFEST_BYTES + 16 * i + j] ^= stream[j];
  }
  return signed(keys, message);
}
