// Calls that the minifier leaves as `((a, b) => f(b))(0, [c, d])`: a function of one use, put where it is called, with arguments.
// Where nothing can tell the difference the call becomes its body, `f([c, d])`: fewer bytes, and on the interpreter a call less. Leaves
// out functions of more than one statement and parameters of more than one use.
import MagicString from "magic-string";
import { analyse, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

/** Reduce such calls in `code`, a minified program, those within others too. */
export function reduceCalls(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { references, referenceOf } = analyse(program);
  const written = new Set(references.flatMap(({ writes, binding }) => (writes && binding ? [binding] : [])));
  const isFixed = (identifier: Node) => {
    const binding = referenceOf.get(identifier)?.binding;
    return !!binding && !written.has(binding);
  };
  // from behind, the inner ones first
  const calls: { call: Node; parent: Node }[] = [];
  walk(program, (call, above) => {
    if (call.type === "CallExpression") calls.unshift({ call, parent: above[above.length - 1] });
  });
  const touched: Node[] = [];
  for (const { call, parent } of calls) {
    if (touched.some(({ start, end }) => start < call.end && end > call.start)) continue;
    const parts = reducible(call, isDiscarded(call, parent), isFixed);
    if (!parts) continue;
    const { body, values } = parts;
    text.remove(call.start, body.start).remove(body.end, call.end);
    for (const [use, owner, argument] of values) {
      const source = code.slice(argument.start, argument.end);
      const isLoose = isListed(use, owner) || /^(Identifier|(Array|Call)Expression)$/.test(argument.type);
      text.overwrite(use.start, use.end, isLoose ? source : `(${source})`);
    }
    const isLoose = isListed(call, parent) || parent.type === "ExpressionStatement";
    if (!isLoose && !/^(Call|Member)Expression$/.test(body.type))
      text.appendRight(body.start, "(").appendLeft(body.end, ")");
    else if (/\w/.test(code.charAt(call.start - 1)) && /\w/.test(code[body.start]))
      text.appendRight(body.start, " ");
    touched.push(call);
  }
  return rewritten(text);
}

/** The body that can stand for a call, and which identifier in it, of which node, is which argument. */
function reducible(call: Node, isDiscarded: boolean, isFixed: (identifier: Node) => boolean) {
  const { callee } = call;
  if (callee.type !== "ArrowFunctionExpression" || callee.async) return undefined;
  const body = bodyOf(callee, isDiscarded);
  if (!body || body.type === "SequenceExpression" || callee.params.length < call.arguments.length)
    return undefined;
  const names: { name: Node; owner: Node }[] = [];
  const calls: Node[] = [];
  let isPlain = true;
  walk(body, (node, above) => {
    // what writes or makes functions is looked at by nobody here
    if (/Function|Assignment|Update|Class|This|Object|Conditional|Logical/.test(node.type)) isPlain = false;
    const owner = above[above.length - 1] ?? call;
    const isProperty = owner.type === "MemberExpression" && owner.property === node && !owner.computed;
    if (node.type === "Identifier" && !isProperty) names.push({ name: node, owner });
    if (/Call|New/.test(node.type)) calls.push(node);
  });
  const values: [Node, Node, Node][] = [];
  // the body's calls that are over, and the names that are read, before an identifier is
  const isQuiet = ({ start }: Node) => !calls.some(({ end }) => end <= start);
  const areFixed = ({ start }: Node) => names.every(({ name }) => name.start >= start || isFixed(name));
  for (const [i, parameter] of (callee.params as Node[]).entries()) {
    const argument: Node | undefined = call.arguments[i];
    const uses = names.filter(({ name }) => name.name === parameter.name);
    if (uses.length === 0 && argument?.type === "Literal") continue;
    if (uses.length !== 1 || !argument) return undefined;
    const [{ name, owner }] = uses;
    // evaluated later than it was: what it reads must not change by then, what it does must come first all the same
    const isEarly = isValue(argument, isFixed) || (isQuiet(name) && isValue(argument, () => true));
    const isAlone = (call.arguments as Node[]).every((each) => each === argument || isValue(each, isFixed));
    if (!isEarly && !(isQuiet(name) && areFixed(name) && isAlone)) return undefined;
    values.push([name, owner, argument]);
  }
  return isPlain ? { body, values } : undefined;
}

/** The one expression that a function is; where what it gives is discarded it may be a statement. */
function bodyOf({ body }: Node, isDiscarded: boolean): Node | undefined {
  if (body.type !== "BlockStatement") return body;
  const [statement, ...others] = body.body as Node[];
  const isOne = isDiscarded && others.length === 0 && statement?.type === "ExpressionStatement";
  return isOne ? statement.expression : undefined;
}

function isDiscarded(node: Node, parent: Node): boolean {
  return (
    parent.type === "ExpressionStatement" ||
    (parent.type === "SequenceExpression" && parent.expressions.at(-1) !== node)
  );
}

/** Whether a node stands between commas, where it needs no parentheses. */
function isListed(node: Node, owner: Node): boolean {
  const list: Node[] = owner.arguments ?? owner.elements ?? owner.expressions ?? [];
  return list.includes(node);
}

/** Whether an expression does nothing, and is the same a moment later. */
function isValue(node: Node, isFixed: (identifier: Node) => boolean): boolean {
  if (node.type === "Literal") return true;
  if (node.type === "Identifier") return isFixed(node);
  if (node.type === "UnaryExpression") return node.operator !== "delete" && isValue(node.argument, isFixed);
  if (node.type === "ArrayExpression")
    return node.elements.every((each: Node | null) => each && isValue(each, isFixed));
  return node.type === "BinaryExpression" && isValue(node.left, isFixed) && isValue(node.right, isFixed);
}
