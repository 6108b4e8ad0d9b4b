// Flags: a top-level `let` that is only ever given true or false, and only asked whether it is so, is given 1 or 0 instead. On the
// interpreter a variable with a small number is one on the heap, one with a boolean two. Leaves out a flag whose value goes
// anywhere: into another variable, an argument, a comparison.
import MagicString from "magic-string";
import { analyse, type Binding, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

/** Turn the flags of `code`, a flat program, into numbers. */
export function flagsAsNumbers(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top, referenceOf } = analyse(program);
  const values = new Map<Binding, Node[]>();
  for (const binding of top.bindings.values()) if (binding.kind === "let") values.set(binding, []);
  const drop = (binding: Binding | undefined): void => void (binding && values.delete(binding));
  walk(program, (node, above) => {
    const parent = above[above.length - 1];
    const binding = referenceOf.get(node)?.binding;
    if (parent?.type === "VariableDeclarator" && parent.id === node) {
      const declared = top.bindings.get(node.name);
      if (!declared?.declarations.includes(node) || !parent.init) return;
      if (isBoolean(parent.init)) values.get(declared)?.push(parent.init);
      else drop(declared);
    }
    if (!binding || !values.has(binding)) return;
    if (!referenceOf.get(node)?.writes) {
      if (!isAsked(node, above)) drop(binding);
      return;
    }
    // `a = b = true` gives both of them the same literal
    let value: Node | undefined = parent.type === "AssignmentExpression" ? parent : undefined;
    while (value?.type === "AssignmentExpression" && value.operator === "=") value = value.right;
    const outer = above[above.length - 2];
    const goesOn = outer?.type === "AssignmentExpression" && outer.right === parent;
    if (!value || !isBoolean(value) || !(goesOn || outer?.type === "ExpressionStatement")) drop(binding);
    else values.get(binding)?.push(value);
  });
  // a literal that one variable keeps as it is stays for all that are given it
  const kept = new Map<Node, number>();
  for (const literals of values.values())
    for (const literal of literals) kept.set(literal, (kept.get(literal) ?? 0) + 1);
  walk(program, (node, above) => {
    if (node.type !== "AssignmentExpression" || node.right.type === "AssignmentExpression") return;
    // the variables that it and the assignments around it write to
    const targets = above.length - above.findLastIndex(({ type }) => type !== "AssignmentExpression");
    const count = kept.get(node.right);
    if (count !== undefined && count < targets) kept.delete(node.right);
  });
  for (const literal of kept.keys()) text.overwrite(literal.start, literal.end, literal.value ? "1" : "0");
  return rewritten(text);
}

function isBoolean(node: Node): boolean {
  return node.type === "Literal" && typeof node.value === "boolean";
}

/** Whether an expression is but asked whether it is true, or multiplied, where true counts as 1 in any case. */
function isAsked(node: Node, above: readonly Node[]): boolean {
  const parent = above[above.length - 1];
  if (!parent) return false;
  if (parent.type === "UnaryExpression") return parent.operator === "!";
  if (parent.type === "BinaryExpression") return parent.operator === "*";
  if (parent.type === "LogicalExpression" && parent.operator !== "??")
    return isAsked(parent, above.slice(0, -1)) || isDiscarded(parent, node, above);
  if (parent.type === "ConditionalExpression" && parent.test !== node)
    return isAsked(parent, above.slice(0, -1));
  return (
    /^(If|While|DoWhile|For)Statement$|^ConditionalExpression$/.test(parent.type) && parent.test === node
  );
}

/** Whether a flag decides, on the left, what else happens, and nobody takes what comes of it. */
function isDiscarded(logical: Node, node: Node, above: readonly Node[]): boolean {
  return logical.left === node && above[above.length - 2]?.type === "ExpressionStatement";
}
