// Constants into their places: a named number or short text at the top level costs a device two or three variables of heap,
// as a literal it costs none. The minifier weighs bytes only, so it keeps a name that is used often.
import MagicString from "magic-string";
import { analyse, type Binding, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

/** Longest text that is worth more in its places than under a name, bytes. */
const SHORT = 8;

type Value = number | boolean | string | undefined;

/** What an expression is, and the length of the shortest text that says so, but for brackets. */
interface Constant {
  value: Value;
  length: number;
}

// biome-ignore-start lint/suspicious/noExplicitAny: they take what there is, as JavaScript does
const UNARY: Readonly<Record<string, (a: any) => Value>> = {
  "-": (a) => -a,
  "+": (a) => +a,
  "!": (a) => !a,
  "~": (a) => ~a,
  void: () => undefined,
};

const BINARY: Readonly<Record<string, (a: any, b: any) => Value>> = {
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "%": (a, b) => a % b,
  "<<": (a, b) => a << b,
  ">>": (a, b) => a >> b,
  ">>>": (a, b) => a >>> b,
  "&": (a, b) => a & b,
  "|": (a, b) => a | b,
  "^": (a, b) => a ^ b,
  "===": (a, b) => a === b,
  "!==": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
};
// biome-ignore-end lint/suspicious/noExplicitAny: as above

/**
 * Replace each use of a top-level constant that is a number, boolean, short text or undefined, or an expression of those, by
 * the literal; unused declarations are left.
 */
export function inlineConstants(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top, referenceOf } = analyse(program);
  const shorthands = new Set<Node>();
  walk(program, (node) => {
    if (node.type === "Property" && node.shorthand) shorthands.add(node.value);
  });
  const known = new Map<Binding | undefined, Constant>();
  // rollup has put modules in order: what a constant is made of stands before it
  for (const statement of program.body as Node[]) {
    if (statement.type !== "VariableDeclaration") continue;
    for (const { id, init } of statement.declarations as Node[]) {
      const binding = id.type === "Identifier" && top.bindings.get(id.name);
      if (!init || !binding || binding.references.some((each) => each.writes)) continue;
      const constant = evaluate(init, (node) => known.get(referenceOf.get(node)?.binding));
      // an expression may be shorter than what it gives: 1 << 30
      const literal = constant && literalOf(constant.value);
      if (!constant || literal?.length !== constant.length) continue;
      known.set(binding, constant);
      for (const { identifier } of binding.references) {
        const prefix = shorthands.has(identifier) ? `${id.name}: ` : "";
        text.overwrite(
          identifier.start,
          identifier.end,
          prefix + (/^\W|^void/.test(literal) && literal[0] !== '"' ? `(${literal})` : literal),
        );
      }
    }
  }
  return rewritten(text);
}

/** The text of a number, boolean, text or `undefined`. */
function literalOf(value: Value): string {
  return value === undefined ? "void 0" : JSON.stringify(value);
}

/** Evaluate an expression of literals and constants that give whole numbers, booleans, short texts or undefined; else undefined. */
function evaluate(node: Node, constantOf: (identifier: Node) => Constant | undefined): Constant | undefined {
  const [a, b, c] = [node.argument ?? node.left ?? node.test, node.right ?? node.consequent, node.alternate];
  if (node.type === "Identifier")
    return node.name === "undefined" ? shortest(undefined, node.name.length) : constantOf(node);
  if (node.type === "Literal" && !node.regex && !node.bigint)
    return shortest(node.value, Number.POSITIVE_INFINITY);
  if (!/^(Unary|Binary|Logical|Conditional)Expression$/.test(node.type)) return undefined;
  const first = evaluate(a, constantOf);
  if (!first) return undefined;
  if (node.type === "UnaryExpression")
    return node.operator in UNARY
      ? shortest(UNARY[node.operator](first.value), node.operator.length + first.length)
      : undefined;
  if (node.type === "ConditionalExpression") return evaluate(first.value ? b : c, constantOf);
  if (node.type === "LogicalExpression")
    return (node.operator === "&&") === !!first.value ? evaluate(b, constantOf) : first;
  const second = evaluate(b, constantOf);
  if (!second || !(node.operator in BINARY)) return undefined;
  return shortest(
    BINARY[node.operator](first.value, second.value),
    first.length + node.operator.length + second.length,
  );
}

/** What an expression of `length` bytes gives, where that is whole or short enough. */
function shortest(value: unknown, length: number): Constant | undefined {
  const isText = typeof value === "string" && value.length <= SHORT;
  if (!isText && !Number.isSafeInteger(value) && typeof value !== "boolean" && value !== undefined)
    return undefined;
  const constant = value as Value;
  // nothing is shorter than `void 0`
  const shorter = constant === undefined ? Number.POSITIVE_INFINITY : length;
  return { value: constant, length: Math.min(shorter, literalOf(constant).length) };
}
