// What the board's code throws, with the places where it was, for who writes that code: an interpreter in a chip tells no more than a
// line of tokens. Programs and sections get a name of their own (sourceURL), by which V8's stack tells of which text a place is.
// Leaves out numbers, the firmware's own codes.
import { detokenise } from "../tokens";

/** A place in a program or a section. */
export interface Place {
  /** The text as Storage has it, with its tokens. */
  code: string;
  /** Byte in it. */
  offset: number;
}

/** Gets each error that a section has thrown, and where it was: the innermost place first. */
export type OnThrow = (error: unknown, places: readonly Place[]) => void;

/** Lines that `Function` puts before the body it is given. */
const FUNCTION_HEAD = 2;

export class Thrown {
  private readonly texts: { code: string; plain: string; head: number }[] = [];
  private readonly numbers = new Map<string, number>();
  private last: unknown;

  constructor(private readonly onThrow: OnThrow) {}

  /** Name a text: `plain` is what V8 is given for `code`, as the body of a function or as a program. */
  named(code: string, plain: string, isBody: boolean): string {
    const key = `${isBody}${code}`;
    let number = this.numbers.get(key);
    if (number === undefined) {
      number = this.texts.push({ code, plain, head: isBody ? FUNCTION_HEAD : 0 }) - 1;
      this.numbers.set(key, number);
    }
    return `${plain}\n//# sourceURL=board:${number}`;
  }

  /** Have a section tell what it throws; an error that comes through several is told once. */
  telling<T extends (...args: never[]) => unknown>(section: T): T {
    const { take } = this;
    return function (this: unknown, ...args: never[]) {
      try {
        return section.apply(this, args);
      } catch (error) {
        take(error);
        throw error;
      }
    } as T;
  }

  /** Take an error that came through no section, or through several: it is told once. */
  readonly take = (error: unknown): void => {
    if (typeof error === "number" || error === this.last) return;
    this.last = error;
    const { stack } = Object(error) as { stack?: unknown };
    const found = [...String(stack).matchAll(/\bboard:(\d+):(\d+):(\d+)/g)];
    this.onThrow(
      error,
      found.map(([, number, line, column]) => this.place(Number(number), Number(line), Number(column))),
    );
  };

  private place(number: number, line: number, column: number): Place {
    const { code, plain, head } = this.texts[number];
    const before = plain
      .split("\n")
      .slice(0, line - 1 - head)
      .join("\n").length;
    return { code, offset: codeOffset(code, before + (line - 1 - head > 0 ? column : column - 1)) };
  }
}

/** The byte of `code` whose plain text begins at or before `at`: tokens are longer when they are written out. */
function codeOffset(code: string, at: number): number {
  let length = 0;
  for (let offset = 1; offset <= code.length; offset++) {
    try {
      length = detokenise(code.slice(0, offset)).length;
    } catch {
      continue; // within a token
    }
    if (length > at) return offset - 1;
  }
  return code.length;
}
