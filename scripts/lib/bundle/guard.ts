// The guard: reads the finished bundle and refuses what Espruino 2v29 cannot run, or runs in another way than the
// standard says, wherever it comes from, our source or the minifier. Each rule was found on the interpreter. Leaves
// out what only types could tell: `slice` of a typed array, writes past its end.
import { PARAMETERS, type Section } from "./sections";
import { type Analysis, analyse, type Binding, children, isFunction, type Node, parse, walk } from "./syntax";

export interface Finding {
  /** The rule's name. */
  rule: string;
  /** What is wrong and what to write instead. */
  message: string;
  /** Offset in the bundle, bytes. */
  offset: number;
}

/** What a rule sees: a node, the nodes above it (nearest last), the text that it stands in. */
interface Context {
  node: Node;
  above: Node[];
  parent: Node | undefined;
  text: string;
  analysis: Analysis;
  /** Names of the main part that a section may use. */
  known: ReadonlySet<string>;
}

interface Rule {
  name: string;
  message: string;
  /** Whether `node` breaks the rule. */
  breaks(context: Context): boolean;
}

const words = (text: string): Set<string> => new Set(text.trim().split(/\s+/));

/** Every global of the interpreter that the firmware may touch but the board's pins, and the loader's `slot`; an unknown one is a mistake. */
const GLOBALS = words(`
  Array ArrayBuffer Boolean DataView Date E Error Float32Array Float64Array Function I2C1 Infinity Int16Array Int32Array
  Int8Array InternalError JSON LoopbackA LoopbackB Math Modules NRF NaN Number Object OneWire Pin ReferenceError RegExp SPI1 SPI2
  Serial1 Serial2 String SyntaxError Telnet TypeError USB Uint16Array Uint24Array Uint32Array Uint8Array
  Uint8ClampedArray Waveform analogRead analogWrite arguments atob btoa changeInterval clearInterval clearTimeout
  clearWatch console decodeURIComponent digitalPulse digitalRead digitalWrite encodeURIComponent eval exports getPinMode getSerial getTime
  global globalThis isFinite isNaN load parseFloat parseInt peek16 peek32 peek8 pinMode poke16 poke32 poke8 print
  process quit require reset save setInterval setSleepIndicator setTimeout setWatch shiftOut undefined slot trial feeds`);

/** Members of built-in objects that are not there. */
const MISSING_STATICS: Readonly<Record<string, Set<string>>> = {
  Array: words("from of fromAsync"),
  ArrayBuffer: words("isView"),
  Date: words("UTC"),
  Math: words(
    "imul clz32 trunc fround hypot cbrt log2 log10 log1p expm1 sinh cosh tanh asinh acosh atanh LOG2E LOG10E",
  ),
  Number: words(`isInteger isSafeInteger isFinite isNaN parseInt parseFloat EPSILON MAX_SAFE_INTEGER
    MIN_SAFE_INTEGER`),
  Object: words("freeze seal preventExtensions isFrozen isSealed is hasOwn groupBy"),
  String: words("fromCodePoint raw"),
};
const TYPED_ARRAY = /^(Int|Uint|Float)\d+(Clamped)?Array$/;

/** Methods of arrays, strings, numbers, functions and buffers that are not there. */
const MISSING_METHODS = words(`
  at codePointAt copyWithin entries findLast findLastIndex flat flatMap isPrototypeOf isWellFormed keys lastIndexOf
  localeCompare matchAll normalize propertyIsEnumerable reduceRight search toExponential toLocaleLowerCase
  toLocaleUpperCase toPrecision toReversed toSorted toSpliced trimEnd trimStart values`);
/** Of the above, those that some built-in kind has: strings have lastIndexOf, Object has keys, values and entries. */
const SOMETIMES_THERE = words("keys values entries lastIndexOf");

const KEYWORDS = words(`
  break case catch class const continue debugger default delete do else extends false finally for function if in
  instanceof let new null of return static super switch this throw true try typeof undefined var void while with`);

const PIN = /^[A-J]\d{1,2}$/;

const LOOPS = /^For(In|Of)?Statement$/;

const RULES: Rule[] = [
  rule(
    "default parameter",
    "no default values in parameters or patterns; begin with `if (a === undefined) a = 1`",
    ({ node }) => node.type === "AssignmentPattern",
  ),
  rule(
    "rest parameter",
    "no rest parameters; use `arguments`, or take an array",
    ({ node }) => node.type === "RestElement",
  ),
  rule("spread", "no spread; use concat, apply or E.toString", ({ node }) => node.type === "SpreadElement"),
  rule("destructuring", "no destructuring; read each member by its name", ({ node }) =>
    /^(Array|Object)Pattern$/.test(node.type),
  ),
  rule("optional chaining", "no `?.`; write `a && a.b`", ({ node }) => node.type === "ChainExpression"),
  rule("power", "no `**`; use Math.pow", ({ node }) => /^\*\*=?$/.test(node.operator ?? "")),
  rule("logical assignment", "no `??=`, `||=`, `&&=`; write `a = a || b`", ({ node }) =>
    /^(\?\?|\|\||&&)=$/.test(node.operator ?? ""),
  ),
  rule(
    "async",
    "no async functions; take a callback",
    ({ node }) => node.async === true || /^(Await|ForAwait)/.test(node.type),
  ),
  rule(
    "generator",
    "no generators; fill an array, or take a callback",
    ({ node }) => node.generator === true || node.type === "YieldExpression",
  ),
  rule(
    "label",
    "no labels; put the loop into a function and return",
    ({ node }) => node.type === "LabeledStatement",
  ),
  rule(
    "tagged template",
    "no tagged templates; call the function",
    ({ node }) => node.type === "TaggedTemplateExpression",
  ),
  rule(
    "computed key",
    "no computed keys; assign `object[key] = value` afterwards",
    ({ node }) => /^(Property|MethodDefinition|PropertyDefinition)$/.test(node.type) && node.computed,
  ),
  rule(
    "private member",
    "no `#private`; a name with an underscore before it is private here",
    ({ node }) => node.type === "PrivateIdentifier",
  ),
  rule(
    "empty class field",
    "a class field needs an initialiser",
    ({ node }) => node.type === "PropertyDefinition" && !node.value,
  ),
  rule(
    "shared class field",
    "a class field lives on the prototype, all instances share it: assign in the constructor",
    ({ node }) =>
      node.type === "PropertyDefinition" &&
      !node.static &&
      !!node.value &&
      !/^(Literal|Unary)/.test(node.value.type),
  ),
  rule(
    "static block",
    "no static blocks; assign behind the class",
    ({ node }) => node.type === "StaticBlock",
  ),
  rule(
    "BigInt",
    "no BigInt; numbers are 32-bit integers or doubles",
    ({ node }) => node.type === "Literal" && typeof node.bigint === "string",
  ),
  rule(
    "new.target",
    "no new.target and no import.meta; pass what is needed as a parameter",
    ({ node }) => node.type === "MetaProperty",
  ),
  rule(
    "module syntax",
    "import and export must be gone from a bundle; import() stands in section(...) only",
    ({ node }) => /^(Import|Export)/.test(node.type),
  ),
  rule("with", "no `with`; name the object each time", ({ node }) => node.type === "WithStatement"),
  rule("debugger", "`debugger` stops the device", ({ node }) => node.type === "DebuggerStatement"),
  rule("strict directive", "a directive does nothing and costs bytes", ({ node }) => !!node.directive),
  rule(
    "missing pin",
    "the board has no such pin, or needs it itself: `pins` in boards/<board>.ts has those that are free",
    ({ node, analysis, known }) => isGlobal(node, analysis) && PIN.test(node.name) && !known.has(node.name),
  ),
  rule(
    "missing global",
    "not a global of the interpreter",
    ({ node, analysis, known }) =>
      isGlobal(node, analysis) && !GLOBALS.has(node.name) && !known.has(node.name) && !PIN.test(node.name),
  ),
  rule("missing member", "the interpreter's built-in object lacks this", ({ node, analysis }) => {
    if (node.type !== "MemberExpression" || node.computed || !isGlobal(node.object, analysis)) return false;
    const missing = TYPED_ARRAY.test(node.object.name)
      ? MISSING_STATICS.Array
      : MISSING_STATICS[node.object.name];
    return missing?.has(node.property.name) ?? false;
  }),
  rule(
    "fixed-seed generator",
    "the same numbers at every boot on most chips: use random() of crypto/ctr_drbg",
    ({ node, analysis }) =>
      node.type === "MemberExpression" &&
      !node.computed &&
      /^(hwRand|random|rand)$/.test(node.property.name) &&
      /^(E|Math)$/.test(node.object.name) &&
      isGlobal(node.object, analysis),
  ),
  rule("prototype", "`X.prototype.y` of built-ins is undefined", ({ node, parent, analysis }) => {
    if (node.type !== "MemberExpression" || node.computed || node.property.name !== "prototype") return false;
    if (parent?.operator === "delete") return false;
    return isGlobal(node.object, analysis);
  }),
  rule("missing method", "no built-in has this method; write a loop", ({ node, analysis }) => {
    if (node.type !== "CallExpression" || node.callee.type !== "MemberExpression" || node.callee.computed)
      return false;
    const { object, property } = node.callee;
    if (!MISSING_METHODS.has(property.name)) return false;
    if (!SOMETIMES_THERE.has(property.name)) return true;
    return property.name !== "lastIndexOf" && !isGlobal(object, analysis);
  }),
  rule(
    "regular expression",
    "no groups `(?`, no `{n}`, no lazy quantifiers, no \\b and \\u, flags g, i, m",
    ({ node }) => {
      if (node.type !== "Literal" || !node.regex) return false;
      const { pattern, flags } = node.regex;
      if (/[^gim]/.test(flags) || /\\[buBpPk]/.test(pattern)) return true;
      const bare = pattern.replace(/\\./g, "x").replace(/\[[^\]]*\]/g, "x");
      return /\(\?|\{|[*+?]\?/.test(bare);
    },
  ),
  rule(
    "default clause",
    "`default` must be the last clause of a switch",
    ({ node }) => node.type === "SwitchStatement" && node.cases.slice(0, -1).some((each: Node) => !each.test),
  ),
  rule(
    "comma in brackets",
    "no `a[b, c]`; put `b` on a line before it",
    ({ node, parent }) =>
      node.type === "SequenceExpression" && parent?.type === "MemberExpression" && parent.property === node,
  ),
  rule("in inside for", "no `in` operator in the head of a for loop", ({ node, above }) => {
    if (node.type !== "BinaryExpression" || node.operator !== "in") return false;
    return above.some((each) => LOOPS.test(each.type) && each.body.start > node.start);
  }),
  rule(
    "bare do",
    "the body of do-while must be a block",
    ({ node }) => node.type === "DoWhileStatement" && !/^(Block|Expression)Statement$/.test(node.body.type),
  ),
  rule(
    "name of",
    "`of` cannot be a name",
    ({ node, analysis }) =>
      node.type === "Identifier" &&
      node.name === "of" &&
      (analysis.referenceOf.has(node) ||
        [...analysis.scopes.values()].some((scope) => scope.bindings.get("of")?.declarations.includes(node))),
  ),
  rule(
    "keyword as class member",
    "a class member cannot be named by a keyword, `of` and `static` among them",
    ({ node }) =>
      /^(MethodDefinition|PropertyDefinition)$/.test(node.type) &&
      !node.computed &&
      KEYWORDS.has(node.key.name),
  ),
  rule(
    "new without arguments",
    "`new X` needs its parentheses",
    ({ node, text }) => node.type === "NewExpression" && text[node.end - 1] !== ")",
  ),
  rule("missing semicolon", "a statement must end with a semicolon", ({ node, text }) => {
    if (!/^(Expression|Return|Throw|Break|Continue|DoWhile)Statement$|^VariableDeclaration$/.test(node.type))
      return false;
    if (text[node.end - 1] === ";") return false;
    return /^[ \t]*[\r\n]\s*[^\s}]/.test(text.slice(node.end));
  }),
  rule(
    "return and newline",
    "`return` followed by a newline returns what the next line holds",
    ({ node, text }) =>
      node.type === "ReturnStatement" &&
      !node.argument &&
      /^return[ \t]*[\r\n]\s*[^\s;}]/.test(text.slice(node.start)),
  ),
  rule("three levels of super", "`super.m()` over three levels never ends", ({ node, above, analysis }) => {
    if (node.type !== "Super" || above[above.length - 1]?.type !== "MemberExpression") return false;
    const parentOf = (each: Node | undefined): Node | undefined => {
      const binding = each?.superClass && analysis.referenceOf.get(each.superClass)?.binding;
      let found: Node | undefined;
      if (binding)
        walk(analysis.program, (other) => {
          if (/^Class/.test(other.type) && other.id === binding.declarations[0]) found = other;
          if (other.type === "VariableDeclarator" && other.id === binding.declarations[0]) found = other.init;
        });
      return found;
    };
    const own = above.findLast((each) => /^Class(Declaration|Expression)$/.test(each.type));
    return !!parentOf(own)?.superClass;
  }),
  rule(
    "extending Error",
    "Error cannot be extended; throw a number",
    ({ node }) => /^Class/.test(node.type) && /Error$/.test(node.superClass?.name ?? ""),
  ),
  rule("captured loop variable", "closures made in a for loop share its variable", ({ node, analysis }) => {
    if (!LOOPS.test(node.type)) return false;
    const scope = analysis.scopes.get(node);
    return [...(scope?.bindings.values() ?? [])].some((binding) =>
      binding.references.some((each) => {
        for (let home: typeof scope = each.scope; home && home !== scope; home = home.parent)
          if (isFunction(home.node)) return true;
        return false;
      }),
    );
  }),
];

function rule(name: string, message: string, breaks: Rule["breaks"]): Rule {
  return { name, message, breaks };
}

/** Whether a node is the name of a global of the interpreter. */
function isGlobal(node: Node, { referenceOf }: Analysis): boolean {
  const reference = referenceOf.get(node);
  return reference !== undefined && !reference.binding;
}

/** The rule of what is not hoisted. */
export const EARLY = "used before its line";

/** Names of all rules, for the test that holds each of them to its case. */
export const RULE_NAMES = [...RULES.map((each) => each.name), "not ASCII", EARLY];

/**
 * Find everything in one program that the interpreter cannot run; `base` is its offset in the bundle, `known` are
 * names that it may use beside the interpreter's.
 */
export function findRefused(text: string, base = 0, known: ReadonlySet<string> = new Set()): Finding[] {
  const findings: Finding[] = [];
  const report = (name: string, message: string, offset: number): void => {
    findings.push({ rule: name, message, offset: base + offset });
  };
  const odd = /[^\t\n\r\x20-\x7e]/.exec(text);
  if (odd) report("not ASCII", "raw characters outside ASCII", odd.index);
  const analysis = analyse(parse(text));
  walk(analysis.program, (node, above) => {
    const context: Context = { node, above, parent: above[above.length - 1], text, analysis, known };
    for (const { name, message, breaks } of RULES) if (breaks(context)) report(name, message, node.start);
  });
  for (const { identifier } of findEarlyUses(analysis)) {
    report(EARLY, `\`${identifier.name}\` is used before its declaration has run`, identifier.start);
  }
  return findings.sort((a, b) => a.offset - b.offset);
}

/**
 * Find what a whole bundle, in plain text, holds that the interpreter cannot run: its main part, and each section as the body of its
 * function. `pins`: the names of the board's.
 */
export function guardBundle(
  code: string,
  sections: readonly Section[],
  pins: ReadonlySet<string> = new Set(),
): Finding[] {
  const mainEnd = sections.length > 0 ? sections[0].offset - 1 : code.length;
  const texts = sections.map(({ offset, length }) => ({ offset, text: code.substr(offset, length) }));
  const main = code.slice(0, mainEnd);
  const names = new Set([...analyse(parse(main)).top.bindings.keys(), ...pins]);
  const head = `(function(${PARAMETERS.join()}){`;
  const ofSections = texts.flatMap(({ offset, text }) =>
    findRefused(`${head}${text}})`, offset - head.length, names),
  );
  return [...findRefused(main, 0, pins), ...ofSections];
}

/**
 * Find uses of a function, class or variable at a moment when its declaration has not been executed: nothing is
 * hoisted. What a function body uses counts at each place where the function is called in its own scope's flow.
 */
function findEarlyUses(analysis: Analysis): { identifier: Node }[] {
  const early = new Map<Node, { identifier: Node }>();
  for (const scope of analysis.scopes.values()) {
    if (!scope.isFunction) continue;
    const body: Node[] = scope.node.type === "Program" ? scope.node.body : (scope.node.body.body ?? []);
    const bodies = functionBodies(body);
    for (const statement of body) {
      for (const use of usesWhenRun(statement, analysis, bodies)) {
        const { binding, identifier } = use;
        if (!binding || /^(param|catch)$/.test(binding.kind) || !belongsTo(binding, scope.node)) continue;
        const declaration = binding.declarations[0];
        // a use inside its own initialiser or in a loop's later round is not early
        const isEarly = use.at < declaration.start;
        if (isEarly && !early.has(identifier)) early.set(identifier, { identifier });
      }
    }
  }
  return [...early.values()];
}

function belongsTo(binding: Binding, functionNode: Node): boolean {
  let scope: Binding["scope"] | undefined = binding.scope;
  while (scope && !scope.isFunction) scope = scope.parent;
  return scope?.node === functionNode;
}

/** Functions that the statements of one body declare, by the identifier that declares them. */
function functionBodies(body: Node[]): Map<Node, Node> {
  const found = new Map<Node, Node>();
  const visit = (node: Node): void => {
    if (node.type === "FunctionDeclaration") found.set(node.id, node);
    if (node.type === "VariableDeclarator" && node.init && isFunction(node.init))
      found.set(node.id, node.init);
    if (!isFunction(node)) for (const child of children(node)) visit(child);
  };
  for (const statement of body) visit(statement);
  return found;
}

interface Use {
  identifier: Node;
  binding: Binding | undefined;
  /** The place in the scope's own flow at which the use happens. */
  at: number;
}

/** List the names that are used when `statement` runs: its own, and those of functions that it calls. */
function usesWhenRun(statement: Node, analysis: Analysis, bodies: Map<Node, Node>): Use[] {
  const uses: Use[] = [];
  const visit = (node: Node, at: number | undefined, called: Set<Node>): void => {
    const reference = analysis.referenceOf.get(node);
    if (reference) uses.push({ identifier: node, binding: reference.binding, at: at ?? node.start });
    if (isFunction(node)) return;
    if (node.type === "CallExpression" || node.type === "NewExpression") {
      const binding = analysis.referenceOf.get(node.callee)?.binding;
      const target = isFunction(node.callee) ? node.callee : binding && bodies.get(binding.declarations[0]);
      if (target && !called.has(target)) visit(target.body, at ?? node.start, new Set([...called, target]));
    }
    for (const child of children(node)) visit(child, at, called);
  };
  visit(statement, undefined, new Set());
  return uses;
}
