// The product's module at build time: `product` (firmware/product/product.ts) becomes the file that is named, each member that it
// lacks an empty function, and a constant for each says whether it is there. In the product's own modules each use of what
// `device` gives (firmware/product/device.ts) becomes that of a section, and so do functions that its members share.
// What is wrong with a product is a UsageError: a sentence with file, line and what to do.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import MagicString from "magic-string";
import type { Plugin } from "rollup";
import { UsageError } from "../cli/exit";
import { PROJECT } from "../project";
import { checkMembers } from "./product_settings";
import { PARAMETERS, STATE } from "./sections";
import {
  analyse,
  type Binding,
  isFunction,
  type Node,
  parentsOf,
  parse,
  type Reference,
  type Rewritten,
  rewritten,
  type Scope,
} from "./syntax";

/** What a product may have: functions; and values, with what stands where there is none. */
const MEMBERS = ["start", "online", "command", "every", "telemetry", "well", "stop", "answer"];
const VALUES = { settings: "{}", everyS: "0" };

const DEVICE = join(PROJECT, "firmware/product/device.ts");

/**
 * Resolve `product` to `file`, an absolute path, and `device` to what a product is given. Throws where there is no such file, and where it
 * commands other devices and `hasPeers` is false: in other profiles nobody would hear it.
 */
export function productModule(file: string, hasPeers = false): Plugin {
  if (!existsSync(file)) throw new UsageError(`there is no product ${file}.`);
  const text = readFileSync(file, "utf8");
  const exported = exportsOf(text);
  if (![...MEMBERS, ...Object.keys(VALUES)].some((name) => exported.has(name)))
    throw new UsageError(
      `${relative(process.cwd(), file)} exports nothing that a product has: \`export function\` one of ${MEMBERS.join(", ")}.`,
    );
  const own = new Set<string>();
  const used = usesOf(file, own);
  if (used.has("tell") && !hasPeers)
    throw new UsageError(
      `${relative(process.cwd(), file)} uses \`tell\`, which is there under the profile peer alone: PROFILE=peer.`,
    );
  const path = JSON.stringify(file);
  return {
    name: "product-module",
    resolveId: (specifier) =>
      specifier === "product" ? "\0product" : specifier === "device" ? DEVICE : null,
    load(id) {
      if (id !== "\0product") return null;
      this.addWatchFile(file);
      const has = {
        ...Object.fromEntries([...MEMBERS, "settings"].map((name) => [name, exported.has(name)])),
        publish: used.has("publish"),
        store: used.has("store") || used.has("stored"),
        tell: used.has("tell"),
        callbacks: used.has(CALLBACKS),
      };
      return [
        ...MEMBERS.map((name) => (exported.has(name) ? "" : `export function ${name}() {}`)),
        ...Object.entries(VALUES).map(([name, none]) =>
          exported.has(name) ? "" : `export const ${name} = ${none};`,
        ),
        ...[...MEMBERS, ...Object.keys(VALUES)].map((name) =>
          exported.has(name) ? `export { ${name} } from ${path};` : "",
        ),
        ...Object.entries(has).map(
          ([name, is]) => `export const has${name[0].toUpperCase()}${name.slice(1)} = ${is};`,
        ),
      ].join("\n");
    },
    transform(code, id) {
      if (!own.has(id) && !/["']device["']/.test(code)) return undefined;
      const program = parse(code);
      if (id === file) checkMembers(program, text, relative(process.cwd(), file));
      checkNames(program, id);
      return sectionUses(code, program, id);
    },
  };
}

/** The names that a module's text exports. */
function exportsOf(text: string): Set<string> {
  return new Set([...text.matchAll(/^export (?:function|const|let) (\w+)/gm)].map(([, name]) => name));
}

/** Among the uses: callbacks that the interpreter calls by itself. */
const CALLBACKS = "callbacks of the interpreter's";

/** What of `device` a module uses, and the modules beside it that it imports, which are `seen` then; and whether it sets watches or timers. */
function usesOf(file: string, seen: Set<string>): Set<string> {
  const used = new Set<string>();
  if (seen.has(file) || !existsSync(file)) return used;
  seen.add(file);
  const text = readFileSync(file, "utf8");
  if (/\b(setWatch|setTimeout|setInterval)\s*\(/.test(text)) used.add(CALLBACKS);
  for (const [, names, from] of text.matchAll(/^import (?:[^;]*?\{([^}]*)\})?[^;]*?["']([^"']+)["']/gm)) {
    if (from === "device") for (const name of (names ?? "").split(",")) used.add(name.trim().split(" ")[0]);
    else if (from.startsWith("."))
      for (const name of usesOf(resolve(dirname(file), from.replace(/(\.ts)?$/, ".ts")), seen))
        used.add(name);
  }
  return used;
}

/**
 * Make sections of what a product's module takes from `device`, in the place of each name, and of each function of its own that several members
 * call: it would stay on the heap between them. What a watch or a timer calls stays: it is called often. What it keeps is named as state.
 */
function sectionUses(code: string, program: Node, id: string): Rewritten | undefined {
  const text = new MagicString(code);
  const { top, references } = analyse(program);
  const parents = parentsOf(program);
  const use = (identifier: Node, module: string, name: string) =>
    text.overwrite(identifier.start, identifier.end, `section(import(${JSON.stringify(module)})).${name}`);
  for (const declaration of program.body as Node[]) {
    if (declaration.type !== "ImportDeclaration" || declaration.source.value !== "device") continue;
    const names = new Map<string, string>(
      (declaration.specifiers as Node[]).map(({ local, imported }) => [
        local.name,
        imported?.name ?? local.name,
      ]),
    );
    text.remove(declaration.start, declaration.end);
    const isUse = ({ start }: Node) => start < declaration.start || start > declaration.end;
    for (const { identifier, binding } of references)
      if (!binding && isUse(identifier) && names.has(identifier.name))
        use(identifier, "device", names.get(identifier.name) as string);
  }
  for (const { name, declarations, references: uses } of statesOf(program, top, parents))
    for (const identifier of [...declarations, ...uses.map(({ identifier }) => identifier)]) {
      const isShorthand = parents.get(identifier)?.shorthand;
      text.overwrite(identifier.start, identifier.end, `${isShorthand ? `${name}: ` : ""}${STATE}${name}`);
    }
  for (const { declaration, calls } of sharedFunctions(program, top, parents)) {
    text.prependLeft(declaration.start, "export ");
    for (const identifier of calls) use(identifier, id, declaration.id.name);
  }
  return rewritten(text);
}

/** Refuse what a section cannot have: throws UsageError with file and line. */
function checkNames(program: Node, id: string): void {
  const refuse = ({ name }: Node, what: string, before = ""): never => {
    const source = readFileSync(id, "utf8");
    const at = source.search(new RegExp(`(?<![\\w$])${before}${name.replace("$", "\\$")}(?![\\w$])`));
    const line = source.slice(0, at).split("\n").length;
    throw new UsageError(`${relative(process.cwd(), id)}:${line}: ${what}`);
  };
  for (const node of program.body as Node[]) {
    const declaration: Node = node.declaration ?? node;
    if (declaration.type !== "FunctionDeclaration") continue;
    if (declaration.params.some(({ type }: Node) => type !== "Identifier"))
      refuse(
        declaration.id,
        `no default values, rest or destructuring in the parameters of \`${declaration.id.name}\`: the interpreter lacks them. Give each a name.`,
        "function ",
      );
  }
  for (const scope of analyse(program).scopes.values())
    for (const { name, declarations } of scope.bindings.values())
      if (PARAMETERS.includes(name))
        refuse(declarations[0], `\`${name}\` is a name that the build uses: give it another one.`);
}

/** What a product keeps in names that are not assigned again: all but what is the same each time that it is made, and of which parts are read alone. */
function statesOf(program: Node, top: Scope, parents: ReadonlyMap<Node, Node>): Binding[] {
  const isRead = (identifier: Node): boolean => {
    const parent = parents.get(identifier);
    const member = parent?.type === "ConditionalExpression" ? parents.get(parent) : parent;
    // what a bus is given to write
    if (member?.type === "CallExpression") return /^(write|writeTo|send)$/.test(member.callee.property?.name);
    if (member?.type !== "MemberExpression" || member.object !== identifier) return false;
    const { type, left, callee, operator } = parents.get(member) as Node;
    const changes = type === "UpdateExpression" || (type === "UnaryExpression" && operator === "delete");
    return !changes && left !== member && callee !== member && type !== "MemberExpression";
  };
  const isSame = (value: Node | null | undefined): boolean =>
    !value ||
    value.type === "Literal" ||
    value.type === "Identifier" ||
    isFunction(value) ||
    (value.type === "TemplateLiteral" && value.expressions.every(isSame)) ||
    (value.type === "UnaryExpression" && isSame(value.argument)) ||
    (value.type === "BinaryExpression" && isSame(value.left) && isSame(value.right));
  const isTable = (value: Node): boolean =>
    (value.type === "ArrayExpression" && value.elements.every(isSame)) ||
    (value.type === "ObjectExpression" &&
      (value.properties as Node[]).every(
        (property) => isSame(property.value) && !isFunction(property.value),
      ));
  return (program.body as Node[])
    .filter(({ type }) => type === "VariableDeclaration")
    .flatMap(({ declarations }) => declarations as Node[])
    .filter(({ id, init }) => id.type === "Identifier" && !isSame(init))
    .map(({ id, init }) => ({ binding: top.bindings.get(id.name) as Binding, init }))
    .filter(
      ({ binding, init }) =>
        !isTable(init) || !binding.references.every(({ identifier }) => isRead(identifier)),
    )
    .map(({ binding }) => binding);
}

/** The functions of a product that nothing but its members call, several of them, and by name; and their calls. */
function sharedFunctions(
  program: Node,
  top: Scope,
  parents: ReadonlyMap<Node, Node>,
): { declaration: Node; calls: Node[] }[] {
  const isTop = new Set<Node>();
  for (const node of program.body as Node[]) isTop.add(node).add(node.declaration);
  const isCall = ({ identifier }: Reference): boolean => {
    const parent = parents.get(identifier) as Node;
    return parent.type === "CallExpression" && parent.callee === identifier;
  };
  /** The function around a use. */
  const inside = ({ identifier }: Reference): Node | undefined => {
    let node = parents.get(identifier);
    while (node && !isFunction(node)) node = parents.get(node);
    return node;
  };
  const handedOn = [...top.bindings.values()]
    .filter(({ references }) => !references.every(isCall))
    .map(({ name }) => name);
  return (program.body as Node[]).flatMap((declaration) => {
    if (declaration.type !== "FunctionDeclaration" || declaration.params.length > PARAMETERS.length)
      return [];
    const { name, references } = top.bindings.get(declaration.id.name) as Binding;
    const callers = new Set(references.map(inside));
    const isShared =
      !handedOn.includes(name) &&
      callers.size > 1 &&
      [...callers].every(
        (caller) =>
          caller && isTop.has(caller) && caller !== declaration && !handedOn.includes(caller.id?.name),
      );
    return isShared ? [{ declaration, calls: references.map(({ identifier }) => identifier) }] : [];
  });
}
