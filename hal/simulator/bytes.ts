// What Espruino's natives take as bytes: numbers, binary strings, arrays of such, byte views element by
// element, { data, count } and { callback } (its E.toUint8Array describes it). Anything else is its
// TypeError.

/** Turn an argument of a native into bytes. */
export function toBytes(...values: unknown[]): Buffer {
  const parts: Buffer[] = [];
  for (const value of values) parts.push(bytesOf(value));
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

function bytesOf(value: unknown): Buffer {
  if (typeof value === "string") return binary(value);
  if (typeof value === "number" || typeof value === "boolean") return Buffer.from([Number(value) & 255]);
  if (isBuffer(value)) return Buffer.from(new Uint8Array(value));
  if (ArrayBuffer.isView(value) && !isDataView(value)) {
    const view = value as Uint8Array;
    if (view.BYTES_PER_ELEMENT > 1) return Buffer.from(Array.from(view, (each) => each & 255));
    return Buffer.from(new Uint8Array(view.buffer, view.byteOffset, view.length));
  }
  if (Array.isArray(value)) return toBytes(...value.map((each) => bytesOf(each)));
  if (typeof value === "object" && value !== null) {
    const { callback, data, count } = value as { callback?: () => unknown; data?: unknown; count?: number };
    if (typeof callback === "function") return bytesOf(callback());
    if (data !== undefined && typeof count === "number") {
      const once = bytesOf(data);
      return Buffer.concat(Array.from({ length: Math.max(0, Math.trunc(count)) }, () => once));
    }
    throw new TypeError(
      "If specifying an object, it must be of the form {data : ..., count : N} or {callback : fn}",
    );
  }
  throw new TypeError(`Expecting Number or iterable, got ${value === null ? "null" : typeof value}`);
}

/**
 * Turn a binary string into bytes; a character over 255 is a mistake of ours, for bytes travel as such
 * strings.
 */
export function binary(text: string): Buffer {
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 255)
      throw new Error(`simulator: character ${text.charCodeAt(i)} in a binary string`);
  }
  return Buffer.from(text, "latin1");
}

// by name: a machine's context has its own ArrayBuffer and DataView
export function isBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]";
}
function isDataView(value: unknown): boolean {
  return Object.prototype.toString.call(value) === "[object DataView]";
}
