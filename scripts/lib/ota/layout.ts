// How a board's Storage is laid out on the bench: the files in the order in which they are written into erased flash, so
// that the data of `.slots` begin at board.slotsStart, in pages of their own. One way for bench, programmer's image, engine
// tests and simulated boards.
//
//   key        32 + 76              the place for the key record, erased
//   .bootrst   32 + loader          firmware/boot/loader.ts
//   .fill      32 + what is left    erased: the next header ends where a page ends
//   .slots     32 + 2 slots         slot 0 holds the image and its manifest, whose tag is zero: nobody signs for a device
//                                   that has no keys yet; slot 1 the bench's program (firmware/boot/provision.ts), where the
//                                   first update goes over it, and is erased behind that
//
// Leaves out what comes behind them: `conf`.
import type { Board } from "../../../boards/board";
import { KEYS_BYTES, MANIFEST_BYTES, SLOTS_FILE } from "../../../firmware/ota/manifest";
import { BUNDLE_FILE } from "../../../firmware/profile";
import { RECORD_LENGTH } from "../../../firmware/store/key_record";
import { imageDigest } from "./digest";
import { manifestOfImage } from "./manifest";

/** Bytes before a file's data in Storage: length, flags, name. */
const HEADER = 32;
export const KEY_FILE = "key";
export const FILL_FILE = ".fill";
/** What the firmware's own version is to a device that comes from the bench. */
export interface BenchImage {
  product?: string;
  version?: string;
  /** The floor of the updates to come: at or below it nothing is taken. */
  sequence?: number;
  /** The bench's program, bytes. */
  program?: string;
}

/** The longest image of a board, bytes: behind it keys and a manifest end its slot. */
export function imageLongest({ slotBytes }: Pick<Board, "slotBytes">): number {
  return slotBytes - KEYS_BYTES - MANIFEST_BYTES;
}

/** The bench's program on the device, in slot 1, of so many bytes: source for its prompt. */
export function programIn({ slotBytes }: Pick<Board, "slotBytes">, length: number): string {
  return `require("Storage").read("${SLOTS_FILE}",${slotBytes},${length})`;
}

/** Lay out Storage of a board. Strings are bytes. Throws where loader or image are too long. */
export function storageFiles(
  board: Pick<Board, "name" | "hardware" | "storageStart" | "slotsStart" | "slotBytes" | "writeLength">,
  bundle: string,
  loader: string,
  image: BenchImage = {},
): Record<string, string> {
  const before = { [KEY_FILE]: erased(RECORD_LENGTH), [BUNDLE_FILE]: loader };
  const align = Math.max(4, board.writeLength);
  const end = Object.values(before).reduce(
    (at, data) => Math.ceil((at + HEADER + data.length) / align) * align,
    0,
  );
  const fill = board.slotsStart - board.storageStart - HEADER - (end + HEADER);
  if (fill < 1)
    throw new Error(`${board.name}: the loader is ${1 - fill} bytes too long for the space before the slots`);
  return {
    ...before,
    [FILL_FILE]: erased(fill),
    [SLOTS_FILE]:
      slotOf(board, bundle, benchManifest(board, bundle, image)) +
      (image.program ?? "").padEnd(board.slotBytes, "\xff"),
  };
}

/** Put an image and its manifest into a slot. */
export function slotOf(board: Pick<Board, "slotBytes">, bundle: string, manifest: Buffer): string {
  const left = imageLongest(board) - bundle.length;
  if (left < 0)
    throw new Error(`the image has ${bundle.length} bytes, and a slot has room for ${imageLongest(board)}`);
  return bundle + erased(left + KEYS_BYTES) + manifest.toString("latin1");
}

function benchManifest({ hardware }: Pick<Board, "hardware">, bundle: string, image: BenchImage): Buffer {
  const { product = "", version = "bench", sequence = 0 } = image;
  return manifestOfImage({
    ...{ product, version, sequence, hardware: 2 ** hardware, length: bundle.length, encoding: "none" },
    digest: imageDigest(Buffer.from(bundle, "latin1")),
  });
}

function erased(length: number): string {
  return "\xff".repeat(length);
}
