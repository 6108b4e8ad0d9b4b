// NOR flash as a chip has it: erased bytes are 0xff, programming only clears bits, erasing works on pages, writes are
// whole units in whole units' places. Power can be cut before any operation, inside it after any of its bytes, and after
// it; the byte that it was at is left torn. Leaves out wear, disturbance and an erase's own way of going wrong: the bytes
// behind the cut are as they were.

import type { Board, FlashArea } from "../../boards/board";

/** Areas of a board's flash map that are modelled, in the order in which they lie in one NorFlash. */
const MODELLED = ["storage", "journal"];

/** An operation on the flash, for `operations`. */
export interface FlashOperation {
  kind: "write" | "erase";
  /** First byte, from the start of the area. */
  offset: number;
  /** Bytes. */
  length: number;
  /** What lay there after it. */
  result: Buffer;
}

/** Where power is to be cut. */
export interface Cut {
  /** Operations that still pass whole. */
  operation: number;
  /** Bytes of the one after them that still pass. 0: before it; its length: after it. */
  byte: number;
  /** Bits of the next byte that are changed already: 1 where the cut came too late. None where absent. */
  torn?: number;
}

/** What a flash without power throws. */
export class PowerCut extends Error {
  constructor() {
    super("the power is cut");
  }
}

export class NorFlash {
  readonly bytes: Buffer;
  /** Pages erased since it was made. */
  erases = 0;
  /** Bits that a write wanted to be 1 and that stayed 0, since it was made. */
  refusedBits = 0;
  /** What was done since it was made, or since `cut`. */
  operations: FlashOperation[] = [];
  /** Called once as the power goes. */
  private onCut: () => void = () => {};
  /** Called after each change, with what has changed; for a flash that is kept in a file. */
  onChange: (offset: number, length: number) => void = () => {};
  /** Whether it has power. */
  isOn = true;
  private planned: Cut | undefined;
  /** What the power was cut in, with what would have lain there after it. */
  interrupted: FlashOperation | undefined;

  constructor(
    readonly length: number,
    readonly pageLength: number,
    readonly writeLength = 1,
  ) {
    this.bytes = Buffer.alloc(length, 0xff);
  }

  /** Cut the power at a place in the operations to come, once; undefined: no longer. Counts `operations` from here. */
  cut(cut: Cut | undefined, onCut: () => void = () => {}): void {
    this.planned = cut;
    this.onCut = onCut;
    this.operations = [];
    this.interrupted = undefined;
  }

  /** Lay down bytes as if they had been there all the time; no operation. */
  load(image: Buffer): void {
    image.copy(this.bytes);
  }

  /** Give what is not erased, pages in their order with an erased one between those that are no neighbours: to look for bytes in. */
  written(): Buffer {
    const { bytes, length, pageLength } = this;
    const erased = Buffer.alloc(pageLength, 0xff);
    const pages: Buffer[] = [];
    for (let at = 0; at < length; at += pageLength) {
      const page = bytes.subarray(at, at + pageLength);
      if (!page.equals(erased)) pages.push(page);
      else if (pages.at(-1) !== erased) pages.push(erased);
    }
    return Buffer.concat(pages);
  }

  /** Program bytes: a bit that is 0 stays 0. Offset and length are whole write units. */
  write(offset: number, data: Buffer): void {
    if (offset % this.writeLength || data.length % this.writeLength)
      throw new Error(`simulator: a write of ${data.length} bytes at ${offset} is not whole units`);
    this.change("write", offset, data.length, (i) => {
      this.refusedBits += ones(data[i] & ~this.bytes[offset + i]);
      return this.bytes[offset + i] & data[i];
    });
  }

  /** Program bytes at any place: the rest of a unit is written as it is (jshFlashWriteAligned). */
  writeAligned(offset: number, data: Buffer): void {
    const unit = this.writeLength;
    const start = offset - (offset % unit);
    const end = Math.ceil((offset + data.length) / unit) * unit;
    const whole = Buffer.from(this.bytes.subarray(start, end));
    data.copy(whole, offset - start);
    // a head and a tail that are no whole units are operations of their own
    const head = start < offset ? start + unit : start;
    const tail = Math.max(head, end > offset + data.length ? end - unit : end);
    for (const [from, to] of [
      [start, head],
      [head, tail],
      [tail, end],
    ])
      if (from < to) this.write(from, whole.subarray(from - start, to - start));
  }

  /** Erase the page in which `offset` lies. */
  erasePage(offset: number): void {
    const start = offset - (offset % this.pageLength);
    this.change("erase", start, this.pageLength, () => 0xff);
    this.erases++;
  }

  private change(
    kind: FlashOperation["kind"],
    offset: number,
    length: number,
    resultAt: (i: number) => number,
  ): void {
    if (!this.isOn) throw new PowerCut();
    if (offset < 0 || offset + length > this.length)
      throw new Error(`simulator: ${kind} of ${length} bytes at ${offset} is outside the area`);
    const result = Buffer.alloc(length);
    for (let i = 0; i < length; i++) result[i] = resultAt(i);
    const operation = { kind, offset, length, result };
    const { planned } = this;
    if (planned?.operation !== this.operations.length) {
      result.copy(this.bytes, offset);
      this.operations.push(operation);
      this.onChange(offset, length);
      return;
    }
    const { byte, torn = 0 } = planned;
    result.copy(this.bytes, offset, 0, byte);
    if (byte < length) {
      const before = this.bytes[offset + byte];
      this.bytes[offset + byte] = (before & ~torn) | (result[byte] & torn);
    }
    this.isOn = false;
    this.planned = undefined;
    this.interrupted = operation;
    this.onChange(offset, length);
    this.onCut();
    throw new PowerCut();
  }
}

/** Make the erased flash of a board: Storage, and behind it the journal, so that cuts count the operations on both. */
export function flashOf(board: Board): NorFlash {
  const length = MODELLED.reduce((sum, name) => sum + areaOf(board, name).length, 0);
  return new NorFlash(length, board.pageLength, board.writeLength);
}

/** Where the areas of a board lie in the flash that `flashOf` made. */
export interface ModelledArea {
  /** First address, as `require("Flash")` counts. */
  address: number;
  length: number;
  /** In the flash. */
  offset: number;
}

export function modelledAreas(board: Board): ModelledArea[] {
  const base = board.storageStart - areaOf(board, "storage").start;
  let offset = 0;
  return MODELLED.map((name) => {
    const { start, length } = areaOf(board, name);
    const area = { address: base + start, length, offset };
    offset += length;
    return area;
  });
}

function areaOf(board: Board, name: string): FlashArea {
  const area = board.flashMap.find((each) => each.name === name);
  if (!area) throw new Error(`simulator: board ${board.name} has no area ${name}`);
  return area;
}

/**
 * Lay out what a flash that held `before` holds after each cut in `operations`: before, inside after each byte with the
 * next one whole and torn, and after. Each `state` is good until the next is taken. What the firmware did without a cut it
 * did up to the cut as well: so one run stands for all of them. `torn` gives the bits of the byte at an offset that are torn.
 */
export function* cutStates(
  before: Buffer,
  operations: readonly FlashOperation[],
  torn: (at: number) => number = () => 0xa5,
  state: Buffer = Buffer.from(before),
): Generator<{ state: Buffer; cut: Cut }> {
  for (const [operation, { offset, length, result }] of operations.entries()) {
    for (let byte = 0; byte < length; byte++) {
      const at = offset + byte;
      yield { state, cut: { operation, byte } };
      const old = state[at];
      const mask = torn(at);
      state[at] = (old & ~mask) | (result[byte] & mask);
      if (state[at] !== old && state[at] !== result[byte])
        yield { state, cut: { operation, byte, torn: mask } };
      state[at] = result[byte];
    }
    yield { state, cut: { operation, byte: length } };
  }
}

function ones(byte: number): number {
  let count = 0;
  for (let bits = byte & 255; bits; bits &= bits - 1) count++;
  return count;
}
