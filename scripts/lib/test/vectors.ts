// Published vectors for the tests of firmware/crypto: reads the files of ../shared/vectors beside this folder, where
// they are present, in the formats of NIST's CAVP (.rsp), of OpenSSL's tests and of JSON. The short answers that
// always run stand in the tests themselves.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../../../shared/vectors", import.meta.url));

/** Options of a test that needs the file: skipped, with a word, where it is absent. */
export function needs(file: string): { skip: string | false } {
  return { skip: existsSync(join(FOLDER, file)) ? false : `../shared/vectors/${file} is not here` };
}

/** Read a vector file as text. */
export function vectorText(file: string): string {
  return readFileSync(join(FOLDER, file), "utf8");
}

/** Read a vector file of JSON. */
export function vectorJson<T>(file: string): T {
  return JSON.parse(vectorText(file)) as T;
}

/**
 * Read a file of `name = value` lines in groups with empty lines between. `[name = value, ...]` and names that are
 * given in a group without the name `last` hold for what follows. One record a group that has `last`.
 */
export function vectorCases(file: string, last: string): Record<string, string>[] {
  const cases: Record<string, string>[] = [];
  let common: Record<string, string> = {};
  for (const group of vectorText(file).split(/\r?\n\s*\r?\n/)) {
    const own: Record<string, string> = {};
    for (const line of group.split(/\r?\n/)) {
      const head = line.trim().startsWith("[");
      if (line.startsWith("#")) continue;
      for (const part of head ? line.replace(/[[\]]/g, "").split(",") : [line]) {
        const [, name, value] = /^\s*([\w.]+)\s*=\s*(.*?)\s*$/.exec(part) ?? [];
        if (name === undefined) continue;
        if (head) common[name] = value;
        else own[name] = value;
      }
    }
    if (last in own) cases.push({ ...common, ...own });
    else common = { ...common, ...own };
  }
  return cases;
}

/** Bytes of hexadecimal text as the binary string that the firmware takes. */
export function fromHex(text: string): string {
  return Buffer.from(text.replace(/\s/g, ""), "hex").toString("latin1");
}

/** Hexadecimal text of what the firmware gives: a binary string or an ArrayBuffer. */
export function toHex(bytes: string | ArrayBuffer): string {
  return (typeof bytes === "string" ? Buffer.from(bytes, "latin1") : Buffer.from(bytes)).toString("hex");
}

/** Bytes that are the same in every run, and look random: the keystream of a seed. */
export function generated(seed: number, length: number): string {
  let state = (seed * 2654435761 + 1) >>> 0;
  let bytes = "";
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes += String.fromCharCode((state >>> 9) & 255);
  }
  return bytes;
}

/** Turn one bit of a binary string, bit 0 the lowest of its first byte. */
export function flipped(bytes: string, bit: number): string {
  const at = bit >> 3;
  const byte = bytes.charCodeAt(at) ^ (1 << (bit & 7));
  return bytes.substr(0, at) + String.fromCharCode(byte) + bytes.substr(at + 1);
}
