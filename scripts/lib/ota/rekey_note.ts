// The note of new keys that went out, in the folder of the update, for one product and sequence: of each device the digest of its
// manifest and wrapped keys. A device's key stream goes by sequence, so that there must never be other keys behind the same one,
// whether a broker still has the first or not. Written by who signs before the file of new keys has its name, and by who
// publishes before anything goes out. It holds no secret.
//   {"rekeyed":1,"product","sequence","devices":{serial: first 16 bytes of SHA-256, hex}}
// Leaves out: notes of other folders and machines; there the broker is asked (publish.ts).
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { UsageError } from "../cli/exit";
import { fileFault } from "../cli/fault";
import { takeLock } from "../files/lock";
import { PUBLIC, replaceFile } from "../files/new_file";
import type { ImageFields } from "./manifest";
import type { Manifests } from "./sign";

/** Value of `rekeyed`. */
const FORMAT = 1;
const DIGEST_BYTES = 16;

type Image = Pick<ImageFields, "product" | "sequence">;

function noteOf(update: string, { product, sequence }: Image): string {
  return join(dirname(update), `${product}-${sequence}.rekeyed`);
}

/** What is noted of the devices; nothing where there is no note. Throws UsageError where it is damaged. */
function readNote(path: string, { product, sequence }: Image): [string, string][] {
  if (!existsSync(path)) return [];
  try {
    const note = JSON.parse(readFileSync(path, "utf8"));
    if (note.rekeyed === FORMAT && note.product === product && note.sequence === sequence)
      return Object.entries(note.devices);
  } catch (error) {
    if (!(error instanceof SyntaxError))
      throw new UsageError(`cannot read the note ${path}: ${fileFault(error)}.`);
  }
  throw new UsageError(
    `${path} is no note of this update's new keys: what went out with this sequence is not known. Use a greater one.`,
  );
}

/** Refuse a note that is damaged, before a passphrase is asked for. Throws UsageError. */
export function checkRekeyNote(update: string, image: Image): void {
  readNote(noteOf(update, image), image);
}

export class RekeyNote {
  readonly path: string;
  private readonly devices: Map<string, string>;
  private readonly unlock: () => void;

  /** Open the note beside an update; the caller closes it. Throws UsageError where it is damaged or another program has it. */
  constructor(
    update: string,
    private readonly image: Image,
  ) {
    this.path = noteOf(update, image);
    this.unlock = takeLock(this.path, `another program has the note ${this.path} open.`);
    try {
      this.devices = new Map(readNote(this.path, image));
    } catch (error) {
      this.unlock();
      throw error;
    }
  }

  /** Add a device's manifest and wrapped keys. Throws UsageError where other ones are noted. */
  add(serial: string, bytes: Uint8Array): void {
    const digest = createHash("sha256")
      .update(bytes)
      .digest("hex")
      .slice(0, 2 * DIGEST_BYTES);
    const before = this.devices.get(serial) ?? digest;
    if (before !== digest)
      throw new UsageError(
        `${serial} has got other new keys with sequence ${this.image.sequence} (${this.path}), and two of one sequence give both ` +
          "away: build the update again with a greater sequence.",
      );
    this.devices.set(serial, digest);
  }

  /** Put it on the disk. */
  write(): void {
    const note = { rekeyed: FORMAT, ...this.image, devices: Object.fromEntries(this.devices) };
    replaceFile(this.path, Buffer.from(`${JSON.stringify(note)}\n`), PUBLIC);
  }

  close(): void {
    this.unlock();
  }
}

/** Note that a file of new keys goes out. Throws UsageError where others of its sequence did. */
export function noteRekeys(update: string, rekeys: Manifests): void {
  const { product, sequence } = rekeys.image;
  const note = new RekeyNote(update, { product, sequence });
  try {
    for (let row = 0; row < rekeys.count; row++) note.add(rekeys.identity(row).serial, rekeys.manifest(row));
    note.write();
  } finally {
    note.close();
  }
}
