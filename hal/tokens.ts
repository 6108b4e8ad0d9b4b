// Tokens of Espruino's lexer (LEX_TYPES in src/jslex.h of 2v29): a byte over 127 in a program stands for a word, an
// operator, a number or a text, and the interpreter runs such a program as it is. The enum's order is fixed ("the Web
// IDE relies on it"), reserved places included. Here stand the table and the way back to plain JavaScript, for Node and
// for people; the build writes tokens (scripts/lib/bundle/tokens.ts).

/** The first token; those of OPERATORS and WORDS follow each other from here. */
const FIRST = 138;

const OPERATORS = (
  "== === != !== <= << <<= >= >> >>> >>= >>>= += -= ++ -- *= /= %= &= && |= || ^= " + "=>"
).split(" ");

const WORDS = (
  "if else do while for break continue function return var let const this throw try catch finally true false " +
  "null undefined new in instanceof switch case default delete typeof void debugger class extends super static of"
).split(" ");

/** `??`, behind nine places that are kept for words to come. */
const NULLISH = FIRST + OPERATORS.length + WORDS.length + 9;

/** A text: this, its length in one byte or in two (little-endian), its bytes as they are. */
export const RAW_STRING8 = NULLISH + 1;
export const RAW_STRING16 = NULLISH + 2;
/** A number: 0 alone, with one signed byte, with two (little-endian). */
export const RAW_INT0 = NULLISH + 3;
export const RAW_INT8 = NULLISH + 4;
export const RAW_INT16 = NULLISH + 5;

/** The byte of each word and operator. */
export const TOKENS: Readonly<Record<string, number>> = Object.fromEntries([
  ...[...OPERATORS, ...WORDS].map((text, index) => [text, FIRST + index]),
  ["??", NULLISH],
]);

const TEXTS = new Map(Object.entries(TOKENS).map(([text, token]) => [token, text]));

/** After these a slash divides; after every other word and operator it begins a regular expression. */
const VALUES = ["true", "false", "null", "undefined", "this", "super"].map((word) => TOKENS[word]);
const WORD = /[\w$]/;
const OPERATOR = /[-+*/%&|^!~<>=?]/;

/** What was written out lately: a machine makes its sections again and again. */
const written = new Map<string, string>();

/**
 * Write a program of tokens as plain JavaScript, up to the zero byte that ends it for the interpreter; plain text comes back
 * as it is. Throws SyntaxError where a byte is no token, or what belongs to one is missing.
 */
export function detokenise(code: string): string {
  let text = written.get(code);
  if (text === undefined) {
    text = /[\0\x80-\xff]/.test(code) ? plainText(code) : code;
    if (written.size >= 1000) written.clear();
    written.set(code, text);
  }
  return text;
}

function plainText(code: string): string {
  const pieces: string[] = [];
  let last = "";
  let at = 0;
  let afterToken = false;
  let afterValue = false;
  /** Add a piece, kept apart from a neighbour with which it would read as something else. */
  const add = (piece: string, isToken: boolean): void => {
    const [first] = piece;
    // behind a regular expression a word would be its flags
    const wouldJoin = WORD.test(first)
      ? WORD.test(last) || last === "/"
      : OPERATOR.test(last) && OPERATOR.test(first);
    // what stands side by side in plain text may be one operator
    pieces.push(wouldJoin && (isToken || afterToken) ? ` ${piece}` : piece);
    last = piece[piece.length - 1];
    afterToken = isToken;
  };
  const byte = (): number => {
    if (at >= code.length) throw new SyntaxError("a token is cut off");
    return code.charCodeAt(at++);
  };
  while (at < code.length && code[at] !== "\0") {
    if (code[at] < "\x80") {
      const piece = plainPiece(code, at, afterValue);
      at += piece.length;
      add(piece, false);
      if (!/^(\s|\/[/*])/.test(piece)) afterValue = isValue(piece);
      continue;
    }
    const start = at;
    const token = byte();
    const known = TEXTS.get(token);
    afterValue = known === undefined || VALUES.includes(token);
    if (known !== undefined) add(known, true);
    else if (token === RAW_STRING8 || token === RAW_STRING16) {
      const length = token === RAW_STRING8 ? byte() : byte() | (byte() << 8);
      if (at + length > code.length) throw new SyntaxError("a text is cut off");
      add(quoted(code.substr(at, length)), true);
      at += length;
    } else if (token === RAW_INT0) add("0", true);
    else if (token === RAW_INT8) add(String((byte() << 24) >> 24), true);
    else if (token === RAW_INT16) add(String(((byte() | (byte() << 8)) << 16) >> 16), true);
    else throw new SyntaxError(`byte ${token} at ${start} is no token`);
    // a point right behind digits would be theirs
    if (token >= RAW_INT0 && code[at] === ".") add(" ", false);
  }
  return pieces.join("");
}

/** What stands in plain text from `at` and is read as one: blanks, a word, a text, a regular expression; else a character. */
function plainPiece(code: string, at: number, afterValue: boolean): string {
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(code)?.[0];
  };
  return (
    match(/[\w$]+|\s+|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\/\/[^\n]*|\/\*.*?\*\//sy) ??
    (code[at] === "`" ? template(code, at) : undefined) ??
    (afterValue ? undefined : match(/\/(?:\\.|\[(?:\\.|[^\]\n])*\]|[^/\n])+\/\w*/y)) ??
    code[at]
  );
}

/** Whether a slash behind a piece of plain text divides. */
function isValue(piece: string): boolean {
  if (Object.hasOwn(TOKENS, piece)) return VALUES.includes(TOKENS[piece]);
  return piece.length > 1 || /[\w$)\]]/.test(piece);
}

/** A template literal with all that is nested in it. */
function template(code: string, start: number): string {
  let depth = 0;
  for (let at = start + 1; at < code.length; at++) {
    const character = code[at];
    if (depth === 0 && character === "\\") at++;
    else if ((depth > 0 || code[at - 1] === "$") && character === "{") depth++;
    else if (depth > 0 && character === "}") depth--;
    else if (depth === 0 && character === "`") return code.slice(start, at + 1);
  }
  throw new SyntaxError("a template literal does not end");
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** A text between quotation marks, in ASCII. */
function quoted(text: string): string {
  return `"${text.replace(
    /[^ !#-[\]-~]/g,
    (each) => ESCAPES[each] ?? `\\x${each.charCodeAt(0).toString(16).padStart(2, "0")}`,
  )}"`;
}
