// An update as a file: all of it but the devices that it is for. One line of JSON, its header, then the image's pieces as
// they go to the broker, one behind the other:
//   {"update":1,"product","board","hardware","version","sequence","length","digest","encoding","pieces":[length of each]}
// It holds no secret and no signature. Reading unpacks the pieces and holds them to the digest.
import { readFileSync } from "node:fs";
import { PACKET_LIMIT } from "../../../firmware/profile";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { imageDigest, piecesOf } from "./digest";
import { pack, unpack } from "./heatshrink";
import { checkImageFields, ENCODINGS, type Encoding, type ImageFields, piecesPrefix } from "./manifest";

/** Value of `update` in the header. */
const FORMAT = 1;

export interface Update extends ImageFields {
  /** Name of the board that the image was built for. */
  board: string;
  /** As they are published. */
  pieces: Buffer[];
}

/** What is told of an image to make an update of it. */
export interface UpdateWanted extends Pick<ImageFields, "product" | "hardware" | "sequence" | "version"> {
  board: string;
  /** "shortest": packed where that is shorter. */
  encoding: Encoding | "shortest";
}

/** Make an update of an image. Throws UsageError where no device could take it. */
export function makeUpdate(image: Uint8Array, wanted: UpdateWanted): Update {
  const digest = imageDigest(image);
  const fieldsOf = (encoding: Encoding) =>
    checkImageFields({ ...wanted, encoding, length: image.length, digest });
  const plain = piecesOf(image).map((piece) => Buffer.from(piece));
  if (wanted.encoding !== "none") {
    const fields = fieldsOf("heatshrink");
    const pieces = plain.map(pack);
    const most = packedMost(fields);
    const isShorter = pieces.every(({ length }) => length <= most) && storedBytes(pieces) < image.length;
    if (isShorter) return { ...fields, pieces };
    if (wanted.encoding === "heatshrink")
      throw new UsageError("the image does not get shorter by heatshrink: leave it as it is.");
  }
  return { ...fieldsOf("none"), pieces: plain };
}

/**
 * Longest that a packed piece may be, bytes: its PUBLISH is a packet that a device takes. Where heatshrink finds nothing, in dense
 * code, it adds a bit to each byte: 576 of 512 at the most.
 */
function packedMost(fields: Pick<ImageFields, "product" | "digest">): number {
  const header = 3 + 2; // fixed header, length of the topic
  return PACKET_LIMIT - header - `${piecesPrefix(fields)}00`.length;
}

/** Bytes of all pieces as the broker keeps them. */
export function storedBytes(pieces: readonly Uint8Array[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0);
}

/** Lay out an update's file. */
export function updateFile(update: Update): Buffer {
  const { product, board, hardware, version, sequence, length, encoding, pieces } = update;
  const header = {
    ...{ update: FORMAT, product, board, hardware, version, sequence, length },
    ...{ digest: Buffer.from(update.digest).toString("hex"), encoding },
    pieces: pieces.map((piece) => piece.length),
  };
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...pieces]);
}

/** Read an update's file. Throws UsageError where it is none, or its image is not the one of its digest. */
export function readUpdate(path: string): Update {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    throw new UsageError(`cannot read the update ${path}: ${fileFault(error)}.`);
  }
  const damaged = (fault: string) => new UsageError(`${path} is no whole update: ${fault}.`);
  const end = bytes.indexOf("\n");
  if (!bytes.subarray(0, 10).equals(Buffer.from('{"update":')) || end < 0)
    throw damaged("it does not begin with its header");
  let header: Record<string, never>;
  try {
    header = JSON.parse(bytes.toString("latin1", 0, end));
  } catch {
    throw damaged("its header is not JSON");
  }
  if (header.update !== FORMAT)
    throw new UsageError(`${path} has an update's format ${header.update}; this is for ${FORMAT}.`);
  const { product, board, hardware, version, sequence, length, encoding } = header;
  const lengths: number[] = header.pieces;
  const digest = Buffer.from(String(header.digest), "hex");
  const formed =
    [product, board, version].every((text) => typeof text === "string") &&
    Object.hasOwn(ENCODINGS, encoding) &&
    Array.isArray(lengths) &&
    lengths.every((each) => Number.isInteger(each) && each > 0 && each <= PACKET_LIMIT) &&
    end + 1 + lengths.reduce((sum, each) => sum + each, 0) === bytes.length;
  if (!formed) throw damaged("its header does not fit what follows");
  const fields = checkImageFields({
    ...{ product, board, hardware, version, sequence, length, digest },
    encoding: encoding as Encoding,
  });
  let at = end + 1;
  const pieces = lengths.map((each) => bytes.subarray(at, (at += each)));
  const image = imageOf(fields.encoding, pieces);
  if (image.length !== length || !imageDigest(image).equals(digest))
    throw damaged("its pieces are not the image of its digest");
  return { ...fields, pieces };
}

/** Put an image together from its pieces as they are published. */
export function imageOf(encoding: Encoding, pieces: readonly Uint8Array[]): Buffer {
  return Buffer.concat(encoding === "heatshrink" ? pieces.map(unpack) : pieces);
}

/** Read an image. Throws UsageError where there is none, or none of at most `longest` bytes, what the board's slot has room for. */
export function readImage(path: string, longest: number): Buffer {
  try {
    const image = readFileSync(path);
    if (image.length > 0 && image.length <= longest) return image;
    throw new UsageError(`${path} has ${image.length} bytes, and an image has 1 to ${longest}.`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`cannot read the image ${path}: ${fileFault(error)}.`);
  }
}
