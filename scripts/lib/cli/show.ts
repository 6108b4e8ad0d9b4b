// Text that others wrote (a device, a broker's topic, a name in a file) made harmless for its reader (CWE-150, CWE-79,
// CWE-1236): control characters, C1 too, marks that turn the direction of writing, invisible ones, halves of a character.
// On a terminal, a page, in a log, in CSV and in the ledger's report it is escaped, never obeyed and never hidden.
// Runs in browsers too. Leaves out: characters that only look alike.

/** What a reader cannot see, or what his terminal would obey. */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

/** `\u009b` for each unit of UTF-16. */
function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
  ).join("");
}

/** Show text on one line. */
export function show(text: string): string {
  return text.replace(HARMFUL, escaped);
}

/** Show text of several lines, which only a line feed ends. */
export function showLines(text: string): string {
  return text.split("\n").map(show).join("\n");
}

/** Show a value as JSON on one line: whatever reads it gets the same value. */
export function showJson(value: unknown): string {
  return show(JSON.stringify(value));
}

/** Show the first characters of a text in quotes, for a sentence. */
export function quoted(text: string, limit = 40): string {
  return showJson(text.slice(0, limit));
}

/** Show bytes as ASCII, every other one as `\x9b`. */
export function showBytes(bytes: Uint8Array): string {
  const shown = (byte: number) =>
    byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
  return Array.from(bytes, shown).join("");
}

/** Show what a device said, a character a byte: as UTF-8 where it is that, else as it is. */
export function showSaid(bytes: string): string {
  try {
    const codes = Uint8Array.from(bytes, (character) => character.charCodeAt(0));
    return show(new TextDecoder("utf-8", { fatal: true }).decode(codes));
  } catch {
    return show(bytes);
  }
}

/** Show text as one field of CSV (RFC 4180); what a spreadsheet would compute begins with an apostrophe. */
export function showCsv(text: string): string {
  const shown = show(text);
  const inert = /^[=+@-]/.test(shown) ? `'${shown}` : shown;
  return /[",]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Show text in XML or HTML, between tags or in an attribute's double quotes. */
export function showXml(text: string): string {
  return show(text).replace(/[&<>"]/g, (character) => ENTITIES[character]);
}
