// A top-level function that is called once goes to the place of its call, so that the source may name its steps: on the device a
// function is five variables of heap and its call as many more. Taken are calls that are a statement, the value of one
// declaration or assignment, or what is returned, of functions that return in tail position alone:
//
//   step(a);           let x = step(a);           x = step(a);           return step(a);
//
// Leaves out functions that are sections or values, that know themselves, that return from within a loop, switch or try, and
// calls whose arguments could change their order: such a function stays one, which costs heap and changes nothing else.
import MagicString from "magic-string";
import {
  type Analysis,
  analyse,
  type Binding,
  isFunction,
  type Node,
  parentsOf,
  parse,
  type Rewritten,
  rewritten,
  walk,
} from "./syntax";

/** Where a value goes: nowhere, to the caller's caller, or into a variable. */
type Sink = { kind: "none" } | { kind: "return" } | { kind: "assign"; target: string };

/**
 * Put functions of `code`, a flat program, into the places of their calls: in one round those that are not one within another.
 * What is put there counts, in the source map, as the caller's.
 */
export function inlineOnce(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const analysis = analyse(program);
  const parents = parentsOf(program);
  const done: Range[] = [];
  for (const callee of program.body as Node[]) {
    if (callee.type !== "FunctionDeclaration" || callee.async || callee.generator) continue;
    const inlined = inlineFunction(code, parents, analysis, callee);
    if (!inlined) continue;
    const { statement } = inlined;
    if (
      [callee, statement].some((one) => done.some((other) => one.start < other.end && other.start < one.end))
    )
      continue;
    text.remove(callee.start, callee.end);
    text.overwrite(statement.start, statement.end, inlined.text);
    done.push(callee, statement);
  }
  return rewritten(text);
}

/** Rounds that a build makes: so deep may functions that are called once call each other. */
export const ROUNDS = 6;

interface Range {
  start: number;
  end: number;
}

/** What stands in the place of a function's one call; undefined where it stays. */
function inlineFunction(
  code: string,
  parents: ReadonlyMap<Node, Node>,
  analysis: Analysis,
  callee: Node,
): { statement: Range; text: string } | undefined {
  const binding = analysis.top.bindings.get(callee.id.name) as Binding;
  if (binding.declarations.length !== 1 || binding.references.length !== 1) return undefined;
  const [{ identifier }] = binding.references;
  const above: Node[] = [];
  for (let node = parents.get(identifier); node; node = parents.get(node)) above.unshift(node);
  const call = above[above.length - 1];
  if (call?.type !== "CallExpression" || call.callee !== identifier || above.includes(callee))
    return undefined;
  const place = placeOf(above);
  if (!place || !callee.params.every((param: Node) => param.type === "Identifier")) return undefined;
  if (call.arguments.some((argument: Node) => argument.type === "SpreadElement")) return undefined;
  if (looksAtItself(callee)) return undefined;

  const { statement, home, sink, around } = place;
  const caller = above.findLast(isFunction);
  if (!caller) return undefined;
  const names = freshNames(code, analysis, callee, caller);
  if (!names) return undefined;
  // a variable of the caller's that ends here goes on as the parameter: two would hold its value
  const aliased = new Set<Node>();
  for (const [index, param] of (callee.params as Node[]).entries()) {
    const argument = call.arguments[index] as Node | undefined;
    if (argument?.type !== "Identifier") continue;
    const isWritten = names.size > 0 && isWrittenTo(analysis, param, callee);
    if (!endsHere(analysis, argument, call, above, sink, isWritten)) continue;
    if ((call.arguments as Node[]).filter((each) => each.name === argument.name).length > 1) continue;
    aliased.add(param);
    for (const [node, name] of names)
      if (name === names.get(param) && node !== param) names.set(node, argument.name);
  }
  const renamed = (node: Node): string => rename(code, node, names);
  const body = converted(code, callee.body.body, sink, renamed);
  if (body === undefined) return undefined;
  const parameters = (callee.params as Node[]).map((param, index) => {
    if (aliased.has(param)) return "";
    const name = names.get(param) as string;
    const argument = call.arguments[index] as Node | undefined;
    return `let ${name}${argument ? ` = ${code.slice(argument.start, argument.end)}` : ""};`;
  });
  for (const extra of (call.arguments as Node[]).slice(callee.params.length))
    parameters.push(`${code.slice(extra.start, extra.end)};`);
  const before = sink.kind === "assign" && place.declares ? `let ${sink.target};` : "";
  let inlined = [before, ...parameters, ...body].filter(Boolean).join("\n");
  if (around) inlined = around(code, `{\n${inlined}\n}`);
  if (home.type !== "list" || around) inlined = `{\n${inlined}\n}`;
  return { statement, text: inlined };
}

/** Whether a function gives its parameter another value. */
function isWrittenTo(analysis: Analysis, param: Node, callee: Node): boolean {
  const references = analysis.scopes.get(callee)?.bindings.get(param.name)?.references ?? [];
  return references.some(({ writes }) => writes);
}

/**
 * Whether the caller's variable `argument` may be the parameter: it is not looked at after the call, but for what the call gives
 * it; or neither of the two is ever written to.
 */
function endsHere(
  analysis: Analysis,
  argument: Node,
  call: Node,
  above: Node[],
  sink: Sink,
  isWritten: boolean,
): boolean {
  const binding = analysis.referenceOf.get(argument)?.binding;
  const caller = above.findLast(isFunction) as Node;
  if (!binding || !/^(let|const|param|catch)$/.test(binding.kind) || !above.includes(binding.scope.node))
    return false;
  if (binding.scope.node.start < caller.start) return false;
  if (!isWritten && !binding.references.some(({ writes }) => writes)) return true;
  if (!/^(let|param)$/.test(binding.kind)) return false;
  const isGiven = sink.kind === "assign" && sink.target === argument.name;
  const loops = above.slice(above.indexOf(caller)).some(({ type }) => /^(For|While|Do)/.test(type));
  return isGiven || (!loops && binding.references.every(({ identifier }) => identifier.start < call.end));
}

interface Place {
  statement: Node;
  /** Whether the statement stands in a list of statements, or alone, as the branch of an `if`. */
  home: { type: "list" | "alone" };
  sink: Sink;
  /** Whether the variable of the sink is declared by the statement. */
  declares: boolean;
  /** Where the call is the last part of `a && call()`, or a branch of `a ? call() : b`: the statement that says the same. */
  around?: (code: string, inlined: string) => string;
}

/** The statement that a condition with a call in it is, in the words of `if`; `branch`: the node that the call is. */
function conditional(whole: Node, branch: Node): ((code: string, inlined: string) => string) | undefined {
  const textOf = (code: string, node: Node): string => code.slice(node.start, node.end);
  if (whole.type === "LogicalExpression" && whole.right === branch && whole.operator !== "??") {
    const not = whole.operator === "||" ? "!" : "";
    return (code, inlined) => `if (${not}(${textOf(code, whole.left)})) ${inlined}`;
  }
  if (whole.type !== "ConditionalExpression" || whole.test === branch) return undefined;
  return whole.consequent === branch
    ? (code, inlined) => `if (${textOf(code, whole.test)}) ${inlined} else ${textOf(code, whole.alternate)};`
    : (code, inlined) =>
        `if (!(${textOf(code, whole.test)})) ${inlined} else ${textOf(code, whole.consequent)};`;
}

/** The statement that a call is all of; `above`: the chain of nodes down to the call. */
function placeOf(above: Node[]): Place | undefined {
  const call = above[above.length - 1];
  const parent = above[above.length - 2];
  const grandparent = above[above.length - 3];
  const place = (
    statement: Node,
    holder: Node | undefined,
    sink: Sink,
    declares = false,
  ): Place | undefined => {
    const isList = /^(BlockStatement|StaticBlock)$/.test(holder?.type ?? "");
    const isAlone = /^(IfStatement|For(In|Of)?Statement|WhileStatement)$/.test(holder?.type ?? "");
    if ((!isList && !isAlone) || (declares && !isList)) return undefined;
    return { statement, home: { type: isList ? "list" : "alone" }, sink, declares };
  };
  if (parent?.type === "ExpressionStatement") return place(parent, grandparent, { kind: "none" });
  if (grandparent?.type === "ExpressionStatement") {
    const around = conditional(parent, call);
    const found = around && place(grandparent, above[above.length - 4], { kind: "none" });
    if (found) return { ...found, around };
  }
  if (parent?.type === "ReturnStatement") return place(parent, grandparent, { kind: "return" });
  if (
    parent?.type === "AssignmentExpression" &&
    parent.operator === "=" &&
    parent.right === call &&
    parent.left.type === "Identifier" &&
    grandparent?.type === "ExpressionStatement"
  )
    return place(grandparent, above[above.length - 4], { kind: "assign", target: parent.left.name });
  if (
    parent?.type === "VariableDeclarator" &&
    parent.id.type === "Identifier" &&
    grandparent?.type === "VariableDeclaration" &&
    grandparent.declarations.length === 1
  )
    return place(grandparent, above[above.length - 4], { kind: "assign", target: parent.id.name }, true);
  return undefined;
}

/** Whether a function looks at how it was called, or declares what goes with its own scope alone. */
function looksAtItself(callee: Node): boolean {
  let found = false;
  walk(callee.body, (node) => {
    if (node.type === "ThisExpression" || node.type === "MetaProperty") found = true;
    if (node.type === "Identifier" && node.name === "arguments") found = true;
    if (node.type === "FunctionDeclaration" || (node.type === "VariableDeclaration" && node.kind === "var"))
      found = true;
  });
  return found;
}

/**
 * The names that the function's own variables get, by the node of each declaration or use: their own where the program has no
 * other of that name. Undefined where a variable of the caller hides what the function means.
 */
function freshNames(
  code: string,
  analysis: Analysis,
  callee: Node,
  caller: Node,
): Map<Node, string> | undefined {
  const isInside = (node: Node, outer: Node): boolean => outer.start <= node.start && node.end <= outer.end;
  const names = new Map<Node, string>();
  const own = new Set<Binding>();
  const callers = new Set<string>();
  for (const scope of analysis.scopes.values())
    for (const binding of scope.bindings.values()) {
      if (isInside(scope.node, callee)) own.add(binding);
      else if (scope !== analysis.top && isInside(scope.node, caller)) callers.add(binding.name);
    }
  for (const { identifier, binding } of analysis.references)
    if (isInside(identifier, callee) && !(binding && own.has(binding)) && callers.has(identifier.name))
      return undefined;
  const given = new Set<string>();
  for (const binding of own) {
    let name = binding.name;
    const others = isDeclaredElsewhere(analysis, binding);
    if (others || given.has(name))
      for (let n = 1; code.includes(name) || given.has(name); n++) name = `${binding.name}$${n}`;
    given.add(name);
    for (const node of [...binding.declarations, ...binding.references.map((each) => each.identifier)])
      names.set(node, name);
  }
  return names;
}

function isDeclaredElsewhere(analysis: Analysis, { name, scope: home }: Binding): boolean {
  for (const scope of analysis.scopes.values()) if (scope !== home && scope.bindings.has(name)) return true;
  return false;
}

/** The text of `node` with the names of `names`. */
function rename(code: string, node: Node, names: Map<Node, string>): string {
  const parts: string[] = [];
  let at = node.start;
  walk(node, (each, above) => {
    const name = names.get(each);
    const parent = above[above.length - 1];
    if (name === undefined || name === each.name) return;
    const isShorthand = parent?.type === "Property" && parent.shorthand;
    // the name of a shorthand property is two nodes in one place
    if (each.start < at) return;
    parts.push(code.slice(at, each.start), isShorthand ? `${each.name}: ${name}` : name);
    at = each.end;
  });
  return parts.join("") + code.slice(at, node.end);
}

/** Whether a statement returns or throws in every case. */
function ends(statement: Node): boolean {
  if (/^(Return|Throw)Statement$/.test(statement.type)) return true;
  if (statement.type === "BlockStatement") return statement.body.some(ends);
  return (
    statement.type === "IfStatement" &&
    !!statement.alternate &&
    ends(statement.consequent) &&
    ends(statement.alternate)
  );
}

/** Whether a function's own `return` stands somewhere in `node`. */
function returns(node: Node): boolean {
  let found = false;
  walk(node, (each, above) => {
    if (each.type === "ReturnStatement" && !above.some(isFunction)) found = true;
  });
  return found;
}

/** The statements with each `return` as what `sink` makes of it; undefined where one stands where that cannot be. */
function converted(
  code: string,
  statements: Node[],
  sink: Sink,
  renamed: (node: Node) => string,
): string[] | undefined {
  if (sink.kind === "return") {
    const all = statements.map(renamed);
    return statements.some(ends) ? all : [...all, "return;"];
  }
  const output: string[] = [];
  for (const [index, statement] of statements.entries()) {
    const rest = statements.slice(index + 1);
    if (!returns(statement)) output.push(renamed(statement));
    else if (statement.type === "ReturnStatement") {
      const value = statement.argument as Node | null;
      if (sink.kind === "assign") output.push(`${sink.target} = ${value ? renamed(value) : "undefined"};`);
      else if (value) output.push(`${renamed(value)};`);
      return output;
    } else if (statement.type === "IfStatement") {
      const listOf = (node: Node | null | undefined): Node[] =>
        !node ? [] : node.type === "BlockStatement" ? node.body : [node];
      // what follows belongs to the branches that go on
      const then = listOf(statement.consequent);
      const otherwise = listOf(statement.alternate);
      const goesOn = [!ends(statement.consequent), !statement.alternate || !ends(statement.alternate)];
      if (goesOn[0] && goesOn[1] && rest.length > 0) return undefined;
      const one = converted(code, goesOn[0] ? [...then, ...rest] : then, sink, renamed);
      const other = converted(code, goesOn[1] ? [...otherwise, ...rest] : otherwise, sink, renamed);
      if (!one || !other) return undefined;
      const test = renamed(statement.test);
      output.push(
        `if (${test}) {\n${one.join("\n")}\n}${other.length > 0 ? ` else {\n${other.join("\n")}\n}` : ""}`,
      );
      return output;
    } else if (statement.type === "TryStatement" && !statement.finalizer && statement.handler) {
      const blocks: Node[] = [statement.block, statement.handler.body];
      if (rest.length > 0 && !blocks.every(ends)) return undefined;
      const [one, other] = blocks.map((block) => converted(code, block.body, sink, renamed));
      if (!one || !other) return undefined;
      const parameter = statement.handler.param ? `(${renamed(statement.handler.param)}) ` : "";
      output.push(`try {\n${one.join("\n")}\n} catch ${parameter}{\n${other.join("\n")}\n}`);
      return output;
    } else return undefined;
  }
  if (sink.kind === "assign") output.push(`${sink.target} = undefined;`);
  return output;
}
