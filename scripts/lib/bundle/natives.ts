// One name for what the program says everywhere, where that gains bytes. Measured on a 32-bit build:
//   const E_toString = E.toString   two variables of heap, a call takes 40 % less time (one look-up instead of
//                                   two), a use is eight bytes shorter; for natives that do not look at `this`
//   const text_substr = "substr"    two or three variables, x[text_substr](0) takes 4 % more instructions than
//                                   x.substr(0), a use is four to eight bytes shorter
//   const require_Flash_ = require("Flash")   two variables, a library that is built in is there anyway
//   const Int32Array_ = Int32Array  one variable, for a class that is there anyway
import MagicString from "magic-string";
import { analyse, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

/** What may be called without its object. */
const FREE = /^E\.(toString|toArrayBuffer|toUint8Array)$|^Math\.(min|max|round|floor)$/;

/** Globals that are called. */
const GLOBALS = /^(getTime|setTimeout)$/;

/** Members of texts that stand on every page; none of them is assigned to. */
const MEMBERS = /^(substr|charCodeAt|length)$/;

/** Classes that the firmware makes. */
const CLASSES = /^Int32Array$/;

/** Bytes that two variables of heap are worth. */
const LEAST_GAIN = 45;

/**
 * Give a name to each native and method that `code`, a flat program, uses often enough to gain by it: more than `leastGain`
 * bytes, 0 for a program that leaves no heap behind.
 */
export function nameNatives(code: string, leastGain = LEAST_GAIN): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { referenceOf } = analyse(program);
  const natives = new Map<string, Node[]>();
  const members = new Map<string, Node[]>();
  const add = (uses: Map<string, Node[]>, name: string, node: Node): void => {
    uses.set(name, [...(uses.get(name) ?? []), node]);
  };
  walk(program, (node) => {
    if (
      node.type === "NewExpression" &&
      CLASSES.test(node.callee.name) &&
      !referenceOf.get(node.callee)?.binding
    )
      add(natives, node.callee.name, node.callee);
    if (
      node.type === "CallExpression" &&
      GLOBALS.test(node.callee.name) &&
      !referenceOf.get(node.callee)?.binding
    )
      add(natives, node.callee.name, node.callee);
    if (node.type === "CallExpression" && node.callee.name === "require")
      add(natives, code.slice(node.start, node.end), node);
    if (node.type !== "MemberExpression" || node.computed) return;
    if (MEMBERS.test(node.property.name)) add(members, node.property.name, node);
    const reference = referenceOf.get(node.object);
    const native = `${node.object.name}.${node.property.name}`;
    if (reference && !reference.binding && FREE.test(native)) add(natives, native, node);
  });
  /** Declare `value`, unless what the uses gain, each by `shorter` bytes, is not worth it. */
  const declare = (name: string, value: string, uses: Node[], shorter: number): string | undefined => {
    if (uses.length * shorter - value.length - ",x=".length < leastGain) return undefined;
    let free = name;
    while (code.includes(free)) free += "_";
    text.prepend(`const ${free} = ${value};\n`);
    return free;
  };
  for (const [native, uses] of natives) {
    const name = declare(
      native.includes(".") ? native.replace(".", "_") : `${native.replace(/\W+/g, "_")}_`,
      native,
      uses,
      native.length - "x".length,
    );
    if (name) for (const { start, end } of uses) text.overwrite(start, end, name);
  }
  for (const [member, uses] of members) {
    const name = declare(`text_${member}`, JSON.stringify(member), uses, `.${member}`.length - "[x]".length);
    if (!name) continue;
    // the object may stand in parentheses: what is replaced begins at the point
    for (const { property, end } of uses)
      text.overwrite(code.lastIndexOf(".", property.start), end, `[${name}]`);
  }
  return rewritten(text);
}
