// Reading a program for the build: its syntax tree from acorn, and who refers to which name (ECMAScript 2015 scopes,
// ECMA-262 8.1). Enough for one flat bundle of our own: no `with`, no import or export, `eval` is ours.
import { type Node as AcornNode, parse as acornParse } from "acorn";
import type MagicString from "magic-string";
import type { SourceMap } from "magic-string";

/** A syntax node; its fields depend on `type` (the ESTree specification). */
export interface Node extends AcornNode {
  // biome-ignore lint/suspicious/noExplicitAny: the shape of a node is told by its type field
  [field: string]: any;
}

/** A name that a scope declares. */
export interface Binding {
  name: string;
  kind: "var" | "let" | "const" | "function" | "class" | "param" | "catch";
  /** The identifier of each declaration; usually one. */
  declarations: Node[];
  references: Reference[];
  scope: Scope;
}

export interface Reference {
  identifier: Node;
  /** Whether the place gives the name a new value. */
  writes: boolean;
  /** Absent: a global of the interpreter. */
  binding?: Binding;
  scope: Scope;
}

export interface Scope {
  node: Node;
  parent?: Scope;
  /** Whether `var` declarations come to rest here. */
  isFunction: boolean;
  bindings: Map<string, Binding>;
}

export interface Analysis {
  program: Node;
  /** The scope of the program itself. */
  top: Scope;
  /** Every use of a name, in the order of the text. */
  references: Reference[];
  /** The use that an identifier is. */
  referenceOf: Map<Node, Reference>;
  /** The scope that a node opens. */
  scopes: Map<Node, Scope>;
}

/** Parse `code` as a module that may use what ECMAScript knows today; throws acorn's SyntaxError. */
export function parse(code: string): Node {
  return acornParse(code, {
    ecmaVersion: "latest",
    sourceType: "module",
    locations: true,
  }) as unknown as Node;
}

/** Call `visit` for each node directly under `node`, in the order of the text. */
function eachChild(node: Node, visit: (child: Node) => void): void {
  const isNode = (value: Node | null): boolean =>
    typeof value?.type === "string" && typeof value.start === "number";
  for (const key in node) {
    const value = node[key];
    if (typeof value !== "object" || key === "loc") continue;
    if (isNode(value)) visit(value);
    else if (Array.isArray(value)) for (const each of value) if (isNode(each)) visit(each);
  }
}

/** List the nodes directly under `node`, in the order of the text. */
export function children(node: Node): Node[] {
  const found: Node[] = [];
  eachChild(node, (child) => found.push(child));
  return found;
}

/** Call `visit` for `node` and everything under it, outside in, with the chain of nodes above it (nearest last). */
export function walk(node: Node, visit: (node: Node, above: Node[]) => void, above: Node[] = []): void {
  visit(node, above);
  above.push(node);
  eachChild(node, (child) => walk(child, visit, above));
  above.pop();
}

/** Give the node around each node of a program. */
export function parentsOf(program: Node): ReadonlyMap<Node, Node> {
  const parents = new Map<Node, Node>();
  walk(program, (node, above) => {
    if (above.length > 0) parents.set(node, above[above.length - 1]);
  });
  return parents;
}

export function isFunction(node: Node): boolean {
  return /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);
}

/** List the identifiers that a declaration's pattern binds. */
export function patternNames(pattern: Node | null): Node[] {
  if (!pattern) return [];
  switch (pattern.type) {
    case "Identifier":
      return [pattern];
    case "AssignmentPattern":
      return patternNames(pattern.left);
    case "RestElement":
      return patternNames(pattern.argument);
    case "ArrayPattern":
      return pattern.elements.flatMap(patternNames);
    case "ObjectPattern":
      return pattern.properties.flatMap((property: Node) =>
        patternNames(property.value ?? property.argument),
      );
    default:
      return [];
  }
}

/** Find every scope, declaration and use of a name in a program. */
export function analyse(program: Node): Analysis {
  const scopes = new Map<Node, Scope>();
  const references: Reference[] = [];

  const open = (node: Node, parent: Scope | undefined, isFunctionScope: boolean): Scope => {
    const scope: Scope = { node, parent, isFunction: isFunctionScope, bindings: new Map() };
    scopes.set(node, scope);
    return scope;
  };
  const declare = (scope: Scope, kind: Binding["kind"], identifier: Node): void => {
    let home = scope;
    if (kind === "var") while (!home.isFunction && home.parent) home = home.parent;
    const binding = home.bindings.get(identifier.name);
    if (binding) binding.declarations.push(identifier);
    else
      home.bindings.set(identifier.name, {
        name: identifier.name,
        kind,
        declarations: [identifier],
        references: [],
        scope: home,
      });
  };

  /** First pass: scopes and declarations, so that a use may stand before its declaration. */
  const declareAll = (node: Node, scope: Scope): void => {
    let inner = scope;
    if (isFunction(node)) {
      if (node.type === "FunctionDeclaration") declare(scope, "function", node.id);
      inner = open(node, scope, true);
      if (node.type === "FunctionExpression" && node.id) declare(inner, "function", node.id);
      for (const param of node.params) for (const name of patternNames(param)) declare(inner, "param", name);
      for (const param of node.params) declareAll(param, inner);
      if (node.body.type === "BlockStatement")
        for (const statement of node.body.body) declareAll(statement, inner);
      else declareAll(node.body, inner);
      return;
    }
    if (node.type === "ClassDeclaration") declare(scope, "class", node.id);
    else if (node.type === "VariableDeclaration") {
      for (const declarator of node.declarations)
        for (const name of patternNames(declarator.id)) declare(scope, node.kind, name);
    } else if (/^(BlockStatement|For(In|Of)?Statement|SwitchStatement|StaticBlock)$/.test(node.type)) {
      inner = open(node, scope, node.type === "StaticBlock");
    } else if (node.type === "CatchClause") {
      inner = open(node, scope, false);
      for (const name of patternNames(node.param)) declare(inner, "catch", name);
    }
    for (const child of children(node)) declareAll(child, inner);
  };
  const top = open(program, undefined, true);
  for (const statement of program.body) declareAll(statement, top);

  const refer = (identifier: Node, scope: Scope, writes: boolean): void => {
    let home: Scope | undefined = scope;
    while (home && !home.bindings.has(identifier.name)) home = home.parent;
    const reference = { identifier, writes, scope, binding: home?.bindings.get(identifier.name) };
    reference.binding?.references.push(reference);
    references.push(reference);
  };
  const write = (pattern: Node, scope: Scope): void => {
    const names = patternNames(pattern);
    for (const name of names) refer(name, scope, true);
    if (names.length === 0) referAll(pattern, scope);
  };
  /** Second pass: uses. */
  const referAll = (node: Node, outer: Scope): void => {
    const scope = scopes.get(node) ?? outer;
    switch (node.type) {
      case "Identifier":
        refer(node, scope, false);
        return;
      case "MemberExpression":
        referAll(node.object, scope);
        if (node.computed) referAll(node.property, scope);
        return;
      case "Property":
      case "MethodDefinition":
      case "PropertyDefinition":
        if (node.computed) referAll(node.key, scope);
        if (node.value) referAll(node.value, scope);
        return;
      case "AssignmentExpression":
        write(node.left, scope);
        referAll(node.right, scope);
        return;
      case "UpdateExpression":
        write(node.argument, scope);
        return;
      case "ForInStatement":
      case "ForOfStatement":
        if (node.left.type === "VariableDeclaration") referAll(node.left, scope);
        else write(node.left, scope);
        referAll(node.right, scope);
        referAll(node.body, scope);
        return;
      case "SwitchStatement":
        referAll(node.discriminant, outer);
        for (const each of node.cases) referAll(each, scope);
        return;
      case "VariableDeclarator":
        referPattern(node.id, scope);
        if (node.init) referAll(node.init, scope);
        return;
      case "FunctionDeclaration":
      case "FunctionExpression":
      case "ArrowFunctionExpression":
        for (const param of node.params) referPattern(param, scope);
        if (node.body.type === "BlockStatement")
          for (const statement of node.body.body) referAll(statement, scope);
        else referAll(node.body, scope);
        return;
      case "ClassDeclaration":
      case "ClassExpression":
        if (node.superClass) referAll(node.superClass, scope);
        referAll(node.body, scope);
        return;
      case "CatchClause":
        referAll(node.body, scope);
        return;
      case "LabeledStatement":
        referAll(node.body, scope);
        return;
      case "BreakStatement":
      case "ContinueStatement":
      case "MetaProperty":
        return;
      default:
        for (const child of children(node)) referAll(child, scope);
    }
  };
  /** The expressions inside a declaring pattern: its default values and computed keys. */
  const referPattern = (pattern: Node, scope: Scope): void => {
    if (!pattern || pattern.type === "Identifier") return;
    if (pattern.type === "AssignmentPattern") {
      referPattern(pattern.left, scope);
      referAll(pattern.right, scope);
    } else for (const child of children(pattern)) referPattern(child, scope);
  };
  for (const statement of program.body) referAll(statement, top);
  const referenceOf = new Map(references.map((each) => [each.identifier, each]));
  return { program, top, references, referenceOf, scopes };
}

/** A text that a step of the build has changed, with the way back. */
export interface Rewritten {
  code: string;
  map: SourceMap;
}

export function rewritten(text: MagicString): Rewritten {
  return { code: text.toString(), map: text.generateMap({ hires: true }) };
}
