// Constants into their places: a named number or short text at the top level costs a device two or three variables of heap,
// as a literal it costs none. The minifier weighs bytes only, so it keeps a name that is used often.
import MagicString from "magic-string";
import { analyse, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

/** Longest text that is worth more in its places than under a name, bytes. */
const SHORT = 8;

/** Replace each use of a top-level `const NAME = number, boolean, short text or undefined` by the literal; unused declarations are left. */
export function inlineConstants(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top } = analyse(program);
  const shorthands = new Set<Node>();
  walk(program, (node) => {
    if (node.type === "Property" && node.shorthand) shorthands.add(node.value);
  });
  for (const statement of program.body as Node[]) {
    if (statement.type !== "VariableDeclaration") continue;
    for (const { id, init } of statement.declarations as Node[]) {
      const literal = init && plainLiteral(init);
      const binding = id.type === "Identifier" && top.bindings.get(id.name);
      if (!literal || !binding || binding.references.some((each) => each.writes)) continue;
      for (const { identifier } of binding.references) {
        const prefix = shorthands.has(identifier) ? `${id.name}: ` : "";
        text.overwrite(identifier.start, identifier.end, prefix + literal);
      }
    }
  }
  return rewritten(text);
}

/** The text of a number, boolean, short text or `undefined` that may stand in any expression. */
function plainLiteral(node: Node): string | undefined {
  if (node.type === "UnaryExpression" && node.operator === "void" && node.argument.type === "Literal")
    return "(void 0)";
  if (node.type === "Literal" && /^(number|boolean)$/.test(typeof node.value)) return String(node.raw);
  if (node.type === "Literal" && typeof node.value === "string" && node.value.length <= SHORT)
    return String(node.raw);
  if (node.type === "UnaryExpression" && /^[-!+]$/.test(node.operator) && node.argument.type === "Literal")
    return typeof node.argument.value === "number" ? `(${node.operator}${node.argument.raw})` : undefined;
  return undefined;
}
