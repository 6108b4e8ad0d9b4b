// What a device says in clear: `v<key version>.<product>.<serial>`, 1 to 64 printable ASCII characters without a colon. Product
// and serial are levels of its MQTT topics as well. Compared as bytes, never changed (RFC 4279, 5.1 to 5.3).
// Leaves out: runs of serials (serials.ts).
import { UsageError } from "../cli/exit";
import { quoted } from "../cli/show";

export const IDENTITY_MAX_LENGTH = 64; // bytes; RFC 4279, 5.3 has a server take 128

/** What a device says in clear: `v<key version>.<product>.<serial>`. */
export interface Identity {
  text: string;
  keyVersion: number;
  product: string;
  serial: string;
  /** Of a device of the profile `epochs`, at the handshake alone: which leaf of its tree is the key (epoch_tree.ts). */
  epoch?: number;
}

/**
 * The MQTT client identifier of a device: no dot, which NATS refuses, and the same over its key versions. No two devices have the
 * same, as the first hyphen ends the product.
 */
export function clientIdOf({ product, serial }: Identity): string {
  return `${product}-${serial}`;
}

/** What an identity may not hold: anything but printable ASCII, and the colon that separates it in psk files. */
export function identityFault(text: string): string | undefined {
  if (text.length === 0) return "is empty";
  if (text.length > IDENTITY_MAX_LENGTH) return `is longer than ${IDENTITY_MAX_LENGTH} characters`;
  if (/[^ -~]/.test(text)) return "holds something else than printable ASCII";
  if (text.includes(":")) return "holds a colon, which psk files use to end it";
  return undefined;
}

// Product and serial become levels of MQTT topics: no separator, no wildcard, nothing that starts with `$` (MQTT 3.1.1,
// 4.7); and no dot, which separates them here. A product has no hyphen either, which separates them in the client id.
const SERIAL = /^[^./+# ]+$/;
export const PRODUCT = /^(?!\$)[^./+# :-]+$/;
/** For sentences: what `PRODUCT` refuses. */
export const NO_PRODUCT = "dot, hyphen, space, slash, plus, hash or colon, and begins with no dollar sign";

/** Parse an identity, or say in a UsageError what is wrong with it. Never changes a byte: what is valid is compared as is. */
export function parseIdentity(text: string): Identity {
  const fault = identityFault(text);
  const shown = quoted(text, IDENTITY_MAX_LENGTH);
  if (fault) throw new UsageError(`the identity ${shown} ${fault}.`);
  const parts = text.split(".");
  const version = /^v([1-9]\d{0,4})$/.exec(parts[0]);
  const [, product, serial] = parts;
  if (!version || parts.length !== 3 || !PRODUCT.test(product) || !SERIAL.test(serial)) {
    throw new UsageError(
      `the identity ${shown} is not v<key version>.<product>.<serial>, for example v1.meter.SN0000001; ` +
        `the product has no ${NO_PRODUCT}; the serial has no dot, space, slash, plus or hash.`,
    );
  }
  return { text, keyVersion: Number(version[1]), product, serial };
}

/** An identity in three parts, and an epoch behind it: `.e` and hexadecimal digits without a zero before them. */
const WITH_EPOCH = /^([^.]*\.[^.]*\.[^.]*)\.e(0|[1-9a-f][0-9a-f]{0,5})$/;

/**
 * Parse what a device says in a handshake: its identity, and of the profile `epochs` its epoch behind it, `v1.meter.SN1.e2f0`; both together have
 * at most 64 characters. `text` is the identity without it, by which it is listed. Throws UsageError.
 */
export function parsePresented(text: string): Identity {
  const [, identity, epoch] = (text.length <= IDENTITY_MAX_LENGTH && WITH_EPOCH.exec(text)) || [];
  if (identity === undefined) return parseIdentity(text);
  return { ...parseIdentity(identity), epoch: Number.parseInt(epoch, 16) };
}

/** The prefix of every topic that a device may use. */
export function topicPrefix(identity: Identity): string {
  return `${identity.product}/${identity.serial}/`;
}
