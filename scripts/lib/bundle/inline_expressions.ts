// For a heap where variables count and bytes do not (profiles `small`): what is only a name for an expression is put in the place of each use.
//
//   const flash = require("Storage");                    what a library gives, by constant arguments
//   const key = require("Storage").read("key");
//   function uint16(bytes, at) { return ...; }           a function that is one `return`, where what stands in a parameter's place
//                                                        is a name or a constant, or the parameter stands once
//
// Leaves out what is assigned to, what is handed on as a value, and functions that look at themselves.
import MagicString from "magic-string";
import {
  analyse,
  type Binding,
  type Node,
  parentsOf,
  parse,
  type Rewritten,
  rewritten,
  walk,
} from "./syntax";

/** Rounds that a build makes: an expression may stand in one that stands in another. */
export const EXPRESSION_ROUNDS = 6;

/** Put the expressions of `code`, a flat program, in the places of their names: in one round those that are not one within another. */
export function inlineExpressions(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top } = analyse(program);
  const parents = parentsOf(program);
  /** What is changed already: not twice in a round. */
  const done: Node[] = [];
  const isFree = (node: Node) => done.every((other) => node.end <= other.start || other.end <= node.start);
  for (const statement of program.body as Node[]) {
    const one = statement.type === "FunctionDeclaration" ? functionOf(statement) : constantOf(statement);
    const binding = one && top.bindings.get(one.name);
    if (!one || !binding || binding.declarations.length !== 1 || binding.references.length === 0) continue;
    const places = placesOf(one, binding, parents);
    if (!places || !isFree(statement)) continue;
    // of calls within each other the inner one
    const now = places.filter(
      (place) =>
        isFree(place) &&
        !places.some((other) => other !== place && place.start <= other.start && other.end <= place.end),
    );
    for (const place of now) text.overwrite(place.start, place.end, `(${textOf(code, one, place)})`);
    if (now.length === places.length) text.remove(statement.start, statement.end);
    done.push(statement, ...now);
  }
  return rewritten(text);
}

interface Named {
  name: string;
  value: Node;
  /** Of a function. */
  parameters?: string[];
}

function functionOf({ id, params, body }: Node): Named | undefined {
  const [statement, more] = body.body as Node[];
  if (more || statement?.type !== "ReturnStatement" || !statement.argument) return undefined;
  if (!params.every((param: Node) => param.type === "Identifier")) return undefined;
  let isPlain = true;
  walk(statement.argument, ({ type, name }) => {
    if (/Function|^This|^Assignment|^Update/.test(type) || name === "arguments" || name === id.name)
      isPlain = false;
  });
  return isPlain
    ? { name: id.name, value: statement.argument, parameters: params.map((param: Node) => param.name) }
    : undefined;
}

function constantOf({ type, kind, declarations }: Node): Named | undefined {
  if (type !== "VariableDeclaration" || kind !== "const" || declarations.length !== 1) return undefined;
  const [{ id, init }] = declarations as Node[];
  return id.type === "Identifier" && init && isOfLibrary(init) ? { name: id.name, value: init } : undefined;
}

/** Whether an expression is a library, or what it gives by constant arguments. */
function isOfLibrary(node: Node): boolean {
  if (node.type !== "CallExpression") return false;
  if (!node.arguments.every(({ type }: Node) => type === "Literal")) return false;
  const { callee } = node;
  if (callee.type === "Identifier") return callee.name === "require";
  return callee.type === "MemberExpression" && isOfLibrary(unwrapped(callee.object));
}

const unwrapped = (node: Node): Node => (node.type === "ParenthesizedExpression" ? node.expression : node);

/** Whether an expression may stand more than once, and anywhere: sums of names and constants. */
const isSimple = ({ type, left, right, operator }: Node): boolean =>
  type === "BinaryExpression"
    ? /^[-+*|&^]$/.test(operator) && isSimple(left) && isSimple(right)
    : /^(Identifier|Literal)$/.test(type);

/** The nodes that the expression is to stand in the place of; undefined where one of them cannot be. */
function placesOf(one: Named, binding: Binding, parents: ReadonlyMap<Node, Node>): Node[] | undefined {
  const places: Node[] = [];
  for (const { identifier, writes } of binding.references) {
    if (writes) return undefined;
    const parent = parents.get(identifier);
    if (!one.parameters) {
      if (parent?.type === "Property" && parent.shorthand) return undefined;
      places.push(identifier);
      continue;
    }
    if (parent?.type !== "CallExpression" || parent.callee !== identifier) return undefined;
    const args = parent.arguments as Node[];
    if (args.length > one.parameters.length) return undefined;
    for (const [i, parameter] of one.parameters.entries()) {
      const uses = usesOf(one.value, parameter);
      if (args[i] && !isSimple(args[i]) && uses !== 1) return undefined;
    }
    // what is worked out in another order is what does nothing else
    if (args.filter((each) => !isSimple(each)).length > 1 && !args.every(isPure)) return undefined;
    places.push(parent);
  }
  return places;
}

function usesOf(value: Node, parameter: string): number {
  let uses = 0;
  walk(value, (node, above) => {
    if (isUse(node, above) && node.name === parameter) uses++;
  });
  return uses;
}

/** Whether a node is a name that is not that of a member. */
function isUse(node: Node, above: readonly Node[]): boolean {
  const parent = above[above.length - 1];
  if (node.type !== "Identifier") return false;
  if (parent?.type === "MemberExpression") return parent.computed || parent.object === node;
  return parent?.type !== "Property" || parent.value === node;
}

/** Calls that give something and do nothing. */
const PURE = /^(substr|repeat|charCodeAt|toString)$/;

/** Whether working out an expression changes nothing. */
function isPure(node: Node): boolean {
  let isIt = true;
  walk(node, ({ type, callee }) => {
    if (/^(Assignment|Update|New|Yield|Await|Tagged)|Function/.test(type)) isIt = false;
    if (type === "CallExpression" && !PURE.test(callee.property?.name ?? "")) isIt = false;
  });
  return isIt;
}

/** The text of the expression, with what stands at `place` in its parameters' places. */
function textOf(code: string, { value, parameters = [] }: Named, place: Node): string {
  const text = new MagicString(code);
  walk(value, (node, above) => {
    const index = isUse(node, above) ? parameters.indexOf(node.name) : -1;
    if (index < 0) return;
    const argument = place.arguments[index] as Node | undefined;
    const written = argument ? `(${code.slice(argument.start, argument.end)})` : "undefined";
    text.overwrite(node.start, node.end, above.at(-1)?.shorthand ? `${node.name}: ${written}` : written);
  });
  return text.slice(value.start, value.end);
}
