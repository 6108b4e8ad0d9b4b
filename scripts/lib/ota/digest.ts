// The digest of an image as a manifest carries it. A device has no running hash, and one call over a whole image would
// want all of it in memory: the pieces are chained instead.
//   h(0) = 32 zeros, h(i+1) = SHA-256(h(i) || the i-th 512 bytes of the image, the last ones fewer), the digest is the last h
import { createHash } from "node:crypto";
import { PIECE_BYTES } from "../../../firmware/ota/manifest";

/** Cut an image into its pieces, PIECE_BYTES each but the last; they share the image's memory. */
export function piecesOf(image: Uint8Array): Uint8Array[] {
  return Array.from({ length: Math.ceil(image.length / PIECE_BYTES) }, (_, i) =>
    image.subarray(i * PIECE_BYTES, (i + 1) * PIECE_BYTES),
  );
}

/** Digest an image: 32 bytes. */
export function imageDigest(image: Uint8Array): Buffer {
  return piecesOf(image).reduce<Buffer>(
    (digest, piece) => createHash("sha256").update(digest).update(piece).digest(),
    Buffer.alloc(32),
  );
}
