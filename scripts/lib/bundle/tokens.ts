// Tokens for Espruino: a program as its lexer takes it without reading letters, one byte for each word and operator, texts
// and numbers as raw bytes, no blanks (the table: hal/tokens.ts). The interpreter does the same to functions
// in RAM when it is asked to (_jslNewTokenisedStringFromLexer in src/jslex.c of 2v29), and runs either.
//
//   preferTokens   (renderChunk)  `void 0`, `!0` and `for(;x;)`, short as text, become `undefined`, `true` and `while(x)`, short
//                                 as tokens, and "\0".repeat(7) its seven bytes
//   tokeniseBundle (renderChunk, last)  main part and sections; sections lie elsewhere then, so calls name new places
//
// Stays as it is: template literals, regular expressions, names of members that are reserved words, texts with characters
// that are no byte. Line breaks go, so that statements must end with semicolons (guard.ts sees to it, before).

import { parse as acornParse, type Token, tokTypes } from "acorn";
import MagicString from "magic-string";
import { RAW_INT0, RAW_INT8, RAW_INT16, RAW_STRING8, RAW_STRING16, TOKENS } from "../../../hal/tokens";
import { UsageError } from "../cli/exit";
import type { Section } from "./sections";
import { type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

/** A piece of the program's text and what stands for it. */
interface Piece {
  start: number;
  end: number;
  bytes: string;
}

/** How pieces may follow each other (jslPreserveSpaceBetweenTokens): two of `word` need a blank between them. */
type Kind = "word" | "regexp" | "other";

/** Write a program, or the body of a function, in tokens: one character a byte. Throws where it is not ASCII, or no program. */
export function tokenise(code: string): string {
  return pieces(code)
    .map(({ bytes }) => bytes)
    .join("");
}

/** Replace what the minifier writes by what takes fewer tokens. */
export function preferTokens(code: string): Rewritten {
  const text = new MagicString(code);
  walk(parse(code), (node, above) => {
    if (node.type === "ForStatement" && !node.init && node.test && !node.update) {
      text.overwrite(node.start, node.test.start, "while(");
      text.overwrite(node.test.end, node.body.start, ")");
    }
    const repeated = repeatedText(node);
    // template literals stay text
    if (repeated && !above.some(({ type }) => type === "TemplateLiteral"))
      text.overwrite(node.start, node.end, repeated);
    if (node.type !== "UnaryExpression" || node.argument.type !== "Literal") return;
    const word = WORDS[node.operator + node.argument.raw];
    if (!word) return;
    const before = /[\w$]/.test(code[node.start - 1] ?? "") ? " " : "";
    const after = /[\w$]/.test(code[node.end] ?? "") ? " " : "";
    text.overwrite(node.start, node.end, before + word + after);
  });
  return rewritten(text);
}

/** The text that `"x".repeat(n)` is, as source, where its own bytes are no more than those of the call. */
function repeatedText({ type, callee, arguments: args }: Node): string | undefined {
  if (type !== "CallExpression" || callee.type !== "MemberExpression" || callee.computed) return undefined;
  if (callee.property.name !== "repeat" || typeof callee.object.value !== "string") return undefined;
  if (typeof args[0]?.value !== "number") return undefined;
  const text = callee.object.value.repeat(args[0].value);
  if (text.length > callee.object.value.length + `.repeat(${args[0].value})`.length) return undefined;
  return `"${[...text].map((each) => `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`).join("")}"`;
}

const WORDS: Readonly<Record<string, string>> = { void0: "undefined", "!0": "true", "!1": "false" };

export interface Tokenised extends Rewritten {
  sections: Section[];
  /** The byte that stands for the character at `offset` of the text. */
  byteAt(offset: number): number;
}

/**
 * Write a bundle in tokens. `calls` are the places of the digits that name the place of a section, with its number: they
 * become numbers of two bytes, whatever they say.
 */
export function tokeniseBundle(
  code: string,
  sections: readonly Section[],
  calls: readonly { at: number; number: number }[],
): Tokenised {
  const text = new MagicString(code);
  const mainEnd = sections.length > 0 ? sections[0].offset - 1 : code.length;
  const parts = [{ offset: 0, length: mainEnd }, ...sections].map(({ offset, length }) => {
    const found = pieces(code.substr(offset, length)).map(({ start, end, bytes }) => ({
      start: start + offset,
      end: end + offset,
      bytes,
    }));
    return { offset, end: offset + length, found };
  });
  const numberAt = new Map(calls.map(({ at, number }) => [at, number]));
  const starts = new Set(parts.flatMap(({ found }) => found.map(({ start }) => start)));
  for (const { at, number } of calls)
    if (!starts.has(at))
      throw new Error(
        `section ${sections[number].name} is called inside a template literal: call it outside`,
      );
  for (const { found } of parts)
    for (const piece of found) if (numberAt.has(piece.start)) piece.bytes = wideInteger(0);

  const places: { text: number; byte: number }[] = [];
  let at = 0;
  const placed = parts.map(({ offset, end, found }) => {
    const start = at;
    places.push({ text: offset, byte: at });
    for (const piece of found) {
      places.push({ text: piece.start, byte: at });
      at += piece.bytes.length;
    }
    places.push({ text: end, byte: at });
    return { offset: start, length: at++ - start };
  });
  if (at > 0x7fff)
    throw new UsageError(
      `the bundle has ${at} bytes, ${at - 0x7fff} over those that a section's place can name.`,
    );
  const moved = sections.map(({ name }, number) => ({ name, ...placed[number + 1] }));

  for (const { offset, end, found } of parts) {
    let from = offset;
    for (const piece of found) {
      if (from < piece.start) text.remove(from, piece.start);
      const number = numberAt.get(piece.start);
      const bytes = number === undefined ? piece.bytes : wideInteger(moved[number].offset);
      if (bytes !== code.slice(piece.start, piece.end)) text.overwrite(piece.start, piece.end, bytes);
      from = piece.end;
    }
    if (from < end) text.remove(from, end);
  }
  return {
    ...rewritten(text),
    sections: moved,
    byteAt: (offset) => places.findLast((place) => place.text <= offset)?.byte ?? 0,
  };
}

/** Cut a program into its tokens, each with its bytes. */
function pieces(code: string): Piece[] {
  const odd = /[^\t\n\r\x20-\x7e]/.exec(code);
  if (odd) throw new Error(`a character outside ASCII at ${odd.index}: ${code.substr(odd.index, 20)}`);
  const tokens: (Token & { value?: string | number })[] = [];
  const program = acornParse(code, {
    ecmaVersion: "latest",
    sourceType: "module",
    allowReturnOutsideFunction: true,
    onToken: tokens,
  }) as unknown as Node;
  const whole = wholeNodes(program);
  const members = memberNames(program);

  const found: Piece[] = [];
  let end = 0;
  let before: { kind: Kind; text: string } = { kind: "other", text: "" };
  tokens.forEach((token, index) => {
    if (token.start < end || token.type === tokTypes.eof) return;
    const node = whole.get(token.start);
    end = node?.end ?? token.end;
    const text = code.slice(token.start, end);
    let bytes = text;
    if (node) bytes = shortest(text, node.value ?? "");
    else if (token.type === tokTypes.string || token.type === tokTypes.num)
      bytes = shortest(text, token.value ?? "", tokens[index + 1]?.type === tokTypes.dot);
    else if (token.type !== tokTypes.regexp && !members.has(token.start) && Object.hasOwn(TOKENS, text))
      bytes = String.fromCharCode(TOKENS[text]);
    const kind =
      /^[\w$.]/.test(bytes) && bytes !== "." ? "word" : token.type === tokTypes.regexp ? "regexp" : "other";
    found.push({
      start: token.start,
      end,
      bytes: needsBlank(before, { kind, text: bytes }) ? ` ${bytes}` : bytes,
    });
    before = { kind, text: bytes };
  });
  return found;
}

function needsBlank(before: { kind: Kind; text: string }, after: { kind: Kind; text: string }): boolean {
  if (after.kind === "word") return before.kind !== "other";
  if (after.kind === "regexp") return before.text === "/";
  if (/^[-+]/.test(after.text)) return before.text === after.text[0];
  return before.kind === "regexp" && after.text === "/";
}

/** Nodes of several tokens that become one piece, by where they begin, with the value that they always have. */
function wholeNodes(program: Node): Map<number, { end: number; value?: string | number }> {
  const found = new Map<number, { end: number; value?: string | number }>();
  walk(program, (node) => {
    if (node.type === "TemplateLiteral") {
      const value = node.quasis.length === 1 ? node.quasis[0].value.cooked : undefined;
      found.set(node.start, { end: node.end, value });
    }
    const isNegative = node.type === "UnaryExpression" && node.operator === "-";
    if (isNegative && typeof node.argument.value === "number" && node.argument.value > 0)
      found.set(node.start, { end: node.end, value: -node.argument.value });
  });
  return found;
}

/** Where names of members stand: the interpreter takes a reserved word there, and we take no token for it. */
function memberNames(program: Node): Set<number> {
  const found = new Set<number>();
  walk(program, (node) => {
    const name = node.type === "MemberExpression" ? node.property : node.key;
    if (name?.type === "Identifier" && !node.computed) found.add(name.start);
  });
  return found;
}

/** The shorter of a literal's text and the raw form of its value; `isRaw`: raw where there is such a form. */
function shortest(text: string, value: string | number, isRaw = false): string {
  const raw = typeof value === "number" ? rawInteger(value) : rawString(text, value);
  return raw !== "" && (isRaw || raw.length <= text.length) ? raw : text;
}

/** "" where there is no raw form. */
function rawString(text: string, value: string): string {
  // an empty one is none for the interpreter; one with \u may be UTF-8 to it
  if (value === "" || value.length > 0xffff || /[^\0-\xff]/.test(value) || /\\u/.test(text)) return "";
  return value.length < 256
    ? String.fromCharCode(RAW_STRING8, value.length) + value
    : String.fromCharCode(RAW_STRING16, value.length & 255, value.length >> 8) + value;
}

/** "" where there is no raw form. */
function rawInteger(value: number): string {
  if (Object.is(value, 0)) return String.fromCharCode(RAW_INT0);
  if (value !== (value << 16) >> 16) return "";
  return value === (value << 24) >> 24 ? String.fromCharCode(RAW_INT8, value & 255) : wideInteger(value);
}

/** In two bytes, however small. */
function wideInteger(value: number): string {
  return String.fromCharCode(RAW_INT16, value & 255, (value >> 8) & 255);
}
