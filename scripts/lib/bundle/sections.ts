// Sections: functions whose code stays in flash and that are made when they are needed and dropped after. In the source
// a section is `section(import("./handshake"))`, the default export of that module, or `section(import("./record")).send`,
// another one. The build flattens it into the bundle, then moves every top-level declaration that only the section
// reaches out of the running part of the file behind its end, a zero byte. From there the loader (firmware/boot/load_section.ts)
// makes the function: with the Function constructor, which looks at no byte of it before it runs, where eval would
// read all of it first, and whose functions see the top level alone and hold no scope.
//
//   mark   (transform)    import(...) becomes a static import and a marker: rollup flattens, terser sees one program
//   cut    (renderChunk)  declarations move into one function expression per section, still inside the program
//   place  (renderChunk, after minifying)  their bodies go to the tail, markers become calls of the loader. The main part
//          and each body end with a zero byte, where the interpreter stops reading, so that a call names but the place
//
// A table of sections, `[section(import("./a")), section(import("./b"))][row]`, becomes a table of their places: the one that
// is chosen is the only one that is made.
//
// Stays in the main part: what the main part or a second section reaches, `let` that is assigned (its value outlives
// the section), objects that are written to, functions that are handed on as a value. Leaves out: a section that the main
// part also calls in the plain way is no section, it is used from there.
import MagicString from "magic-string";
import {
  analyse,
  type Binding,
  isFunction,
  type Node,
  parse,
  patternNames,
  type Reference,
  type Rewritten,
  rewritten,
  walk,
} from "./syntax";

/** The call that stands for a section in the program: in the source's place the root, later its number. */
export const MARK = "__section__";
/** The call at the end of the program that carries a section's code through the minifier. */
const TEXT = "__section_text__";

/** The function of firmware/boot/load_section.ts that makes a section from its offset. */
const LOADER = "loadSection";

/** What ends the main part and each body: the interpreter looks at nothing behind it. */
const END = "\0";

/** What the parameters of every section are called, in their order; nothing else bears these names. */
export const PARAMETERS = ["$", "Y", "Z"];

/**
 * What stands in the loader for the place of the first section with so many parameters: sections lie in the order of how many they
 * have, so that it gives none more than it may need.
 */
const THRESHOLDS: Readonly<Record<string, number>> = { WITH_PARAMETER: 1, WITH_PARAMETERS: 2 };
/** Where there is no such section: behind all that there could be. */
const NOWHERE = 0x7fff;

export interface Section {
  /** The source file of its root, without folder and ending. */
  name: string;
  /** Byte offset of the body in the bundle. */
  offset: number;
  /** Bytes of the body, without the zero byte that ends it. */
  length: number;
}

/**
 * Replace `section(import("X"))` and `section(import("X")).name` in one module by a static import of X and a marker;
 * `loader` is the path of firmware/boot/load_section.ts; "": no marker, the export itself, for a program without sections. Nothing
 * to replace: undefined.
 */
export function markSections(code: string, loader = "./load_section"): Rewritten | undefined {
  if (!/\bimport\s*\(/.test(code)) return undefined;
  const text = new MagicString(code);
  const program = parse(code);
  const imported = new Map<string, { name: string; stem: string }>();
  walk(program, (node, above) => {
    if (node.type !== "ImportExpression") return;
    const call = above[above.length - 1];
    const isSection =
      call?.type === "CallExpression" &&
      call.callee.type === "Identifier" &&
      call.callee.name === "section" &&
      call.arguments.length === 1;
    if (!isSection) throw new Error(`import() may only stand in section(import("...")): ${where(node)}`);
    if (node.source.type !== "Literal")
      throw new Error(`section(import(...)) takes a plain string: ${where(node)}`);
    const member = above[above.length - 2];
    const isNamed = member?.type === "MemberExpression" && member.object === call && !member.computed;
    const exported: string = isNamed ? member.property.name : "default";
    const source = String(node.source.value);
    const key = `${source} ${exported}`;
    let root = imported.get(key);
    if (!root) {
      const stem = isNamed ? exported : source.replace(/^.*[/:]/, "").replace(/\W/g, "_");
      let name = `${stem}_section`;
      const isTaken = (): boolean =>
        code.includes(name) || [...imported.values()].some((other) => other.name === name);
      while (isTaken()) name += "_";
      root = { name, stem };
      imported.set(key, root);
      text.append(`\nimport { ${exported} as ${name} } from ${JSON.stringify(source)};`);
    }
    text.overwrite(
      call.start,
      (isNamed ? member : call).end,
      loader ? `${MARK}(${root.name}, "${root.stem}", ${LOADER})` : root.name,
    );
  });
  if (loader && imported.size > 0) text.append(`\nimport { ${LOADER} } from ${JSON.stringify(loader)};`);
  return rewritten(text);
}

/** One top-level declaration, the unit that moves. */
interface Unit {
  start: number;
  end: number;
  node: Node;
  /** What it declares. */
  names: string[];
  /** Names of the program that it refers to, outside markers. */
  uses: Set<string>;
  /** Roots of the sections that it marks. */
  marks: Set<string>;
  /** Runs at boot or must outlive a section. */
  pinned: boolean;
}

/**
 * Move what only a section reaches into `__section_text__(number, name, whether it returns its value, function ...)` at
 * the end of `code`, a flat program; each marker becomes `__section__(number, the loader)`.
 */
export function cutSections(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top, references } = analyse(program);
  const units = listUnits(program, text);
  const unitOf = new Map<string, Unit>();
  for (const unit of units) for (const name of unit.names) unitOf.set(name, unit);

  const markers: { root: string; name: string; loader: string | undefined; call: Node }[] = [];
  const markedIdentifiers = new Set<Node>();
  walk(program, (node) => {
    if (node.type !== "CallExpression" || node.callee.name !== MARK) return;
    const [root, name, loader] = node.arguments;
    if (root.type !== "Identifier" || !unitOf.has(root.name))
      throw new Error(`a section's default export must be declared at the top level: ${where(node)}`);
    markers.push({ root: root.name, name: name.value, loader: loader?.name, call: node });
    if (loader) pin(unitOf.get(loader.name));
    markedIdentifiers.add(root);
  });
  if (markers.length === 0) return rewritten(text);

  const unitAt = (position: number): Unit | undefined =>
    units.find((unit) => unit.start <= position && position < unit.end);
  for (const reference of references) {
    const unit = unitAt(reference.identifier.start);
    if (!unit || reference.binding?.scope !== top) continue;
    if (markedIdentifiers.has(reference.identifier)) unit.marks.add(reference.identifier.name);
    else unit.uses.add(reference.identifier.name);
  }
  for (const binding of top.bindings.values()) if (isMutable(binding)) pin(unitOf.get(binding.name));

  const ofProgram = new Set(
    references.filter(({ binding }) => binding?.scope === top).map((each) => each.identifier),
  );
  for (const unit of keptFunctions(program, units, ofProgram)) pin(unit);

  const reach = (roots: Iterable<Unit>): Set<Unit> => {
    const seen = new Set<Unit>();
    const visit = (unit: Unit): void => {
      if (seen.has(unit)) return;
      seen.add(unit);
      for (const name of unit.uses) visit(unitOf.get(name) as Unit);
    };
    for (const root of roots) visit(root);
    return seen;
  };
  const parametersOf = (root: string): number => {
    const { node } = unitOf.get(root) as Unit;
    return (node.type === "VariableDeclarator" ? node.init?.params : node.params)?.length ?? 0;
  };
  const roots = [...new Set(markers.map((marker) => marker.root))].sort(
    (a, b) => parametersOf(a) - parametersOf(b),
  );
  const ofSection = new Map(roots.map((root) => [root, reach([unitOf.get(root) as Unit])]));
  let main = reach(units.filter((unit) => unit.pinned));
  for (let before = -1; before !== main.size; ) {
    before = main.size;
    const shared = units.filter((unit) => {
      const owners = roots.filter((root) => ofSection.get(root)?.has(unit));
      return owners.length > 1;
    });
    main = new Set([...main, ...reach(shared)]);
  }

  const numbers = new Map<string, number>();
  for (const root of roots) {
    const rootUnit = unitOf.get(root) as Unit;
    if (main.has(rootUnit)) continue;
    const number = numbers.size;
    numbers.set(root, number);
    const moved = units.filter((unit) => ofSection.get(root)?.has(unit) && !main.has(unit));
    const name = markers.find((marker) => marker.root === root)?.name ?? root;
    moveSection(text, `${number}, "${name}"`, root, rootUnit, moved, references);
  }
  for (const { root, loader, call } of markers) {
    const number = numbers.get(root);
    // a root that the main part uses as well is simply there
    const replacement = number === undefined ? root : `${MARK}(${number}, ${loader ?? 0})`;
    text.overwrite(call.start, call.end, replacement);
  }
  return rewritten(text);
}

/** Split the program into units; `const a = 1, b = 2` is cut into two statements in `text`. */
function listUnits(program: Node, text: MagicString): Unit[] {
  const units: Unit[] = [];
  const add = (node: Node, start: number, end: number, names: string[], pinned: boolean): void => {
    units.push({ node, start, end, names, pinned, uses: new Set(), marks: new Set() });
  };
  for (const statement of program.body as Node[]) {
    if (statement.type === "FunctionDeclaration" || statement.type === "ClassDeclaration") {
      add(statement, statement.start, statement.end, [statement.id.name], false);
    } else if (statement.type === "VariableDeclaration") {
      const declarators: Node[] = statement.declarations;
      declarators.forEach((declarator, index) => {
        const isFirst = index === 0;
        const isLast = index === declarators.length - 1;
        if (!isFirst) text.overwrite(declarators[index - 1].end, declarator.start, `;\n${statement.kind} `);
        const start = isFirst ? statement.start : declarators[index - 1].end;
        const names = patternNames(declarator.id).map((name) => name.name);
        add(declarator, start, isLast ? statement.end : declarator.end, names, false);
      });
    } else add(statement, statement.start, statement.end, [], true);
  }
  return units;
}

/**
 * Functions that are handed on instead of called: listeners outlive the section that attaches them, and as a closure
 * of the section each would hold all of it on the heap.
 */
function keptFunctions(program: Node, units: Unit[], ofProgram: Set<Node>): Unit[] {
  const functions = new Map(
    units.filter((unit) => unit.node.type === "FunctionDeclaration").map((unit) => [unit.names[0], unit]),
  );
  const kept = new Set<Unit>();
  walk(program, (node, above) => {
    if (!ofProgram.has(node)) return;
    const unit = functions.get(node.name);
    const parent = above[above.length - 1];
    if (!unit || parent === unit.node || parent.callee === node) return;
    const isArgument = parent.type === "CallExpression" && parent.callee.name !== MARK;
    const isValue = parent.type === "Property" && parent.value === node;
    if (isArgument || isValue) kept.add(unit);
  });
  return [...kept];
}

function pin(unit: Unit | undefined): void {
  if (unit) unit.pinned = true;
}

const CHANGING_METHODS =
  /^(push|pop|shift|unshift|splice|sort|reverse|fill|set|copyWithin|on|emit|setUint\w+|setInt\w+)$/;

/** What a name begins with that holds state whatever its uses look like (product.ts). */
export const STATE = "state_of_";

/** Whether a top-level name holds state: it says so, is assigned again, or is an object that is written to through its name. */
function isMutable(binding: Binding): boolean {
  if (binding.name.startsWith(STATE)) return true;
  if (binding.references.some((reference) => reference.writes)) return true;
  return binding.references.some(({ identifier, scope }) => {
    let changed = false;
    walk(scope.node, (node, above) => {
      if (node !== identifier) return;
      let index = above.length - 1;
      let inner: Node = node;
      let method = "";
      while (index >= 0 && above[index].type === "MemberExpression" && above[index].object === inner) {
        inner = above[index--];
        method = inner.computed ? "" : inner.property.name;
      }
      if (inner === node || index < 0) return;
      const parent = above[index];
      if (parent.type === "AssignmentExpression" && parent.left === inner) changed = true;
      if (parent.type === "UpdateExpression") changed = true;
      if (parent.type === "UnaryExpression" && parent.operator === "delete") changed = true;
      if (parent.type === "CallExpression" && parent.callee === inner && CHANGING_METHODS.test(method))
        changed = true;
    });
    return changed;
  });
}

function isInside(node: Node, units: Unit[]): boolean {
  return units.some((unit) => unit.start <= node.start && node.end <= unit.end);
}

/**
 * Move the units to the end as one function expression. A function that is the root takes the other declarations
 * into its own body: no wrapper, no second function on the heap, and they are gone when it returns.
 */
function moveSection(
  text: MagicString,
  head: string,
  root: string,
  rootUnit: Unit,
  moved: Unit[],
  references: Reference[],
): void {
  const end = text.original.length;
  const others = moved.filter((unit) => unit !== rootUnit);
  const rootFunction = rootUnit.node.type === "VariableDeclarator" ? rootUnit.node.init : rootUnit.node;
  const takesOthers = rootFunction && isFunction(rootFunction) && rootFunction.body.type === "BlockStatement";
  if (takesOthers) {
    renameLocals(text, rootFunction, others, references);
    const split = rootFunction.body.start + 1;
    text.remove(rootUnit.start, rootFunction.start);
    text.remove(rootFunction.end, rootUnit.end);
    text.appendRight(rootFunction.start, `\n${TEXT}(${head}, 0, `);
    text.move(rootFunction.start, split, end);
    for (const unit of others) moveStatement(text, unit, end);
    text.appendLeft(rootFunction.end, ");");
    text.move(split, rootFunction.end, end);
  } else {
    text.appendRight(moved[0].start, `\n${TEXT}(${head}, 1, function() {\n`);
    for (const unit of moved) moveStatement(text, unit, end);
    const last = moved[moved.length - 1];
    text.appendLeft(last.end, `\nreturn ${root};\n});`);
  }
}

function moveStatement(text: MagicString, unit: Unit, to: number): void {
  text.appendRight(unit.start, "\n");
  if (unit.node.type === "VariableDeclarator") text.appendLeft(unit.end, ";");
  text.move(unit.start, unit.end, to);
}

/**
 * Rename the parameters of `root` as those of all sections, and its locals that bear a name which the declarations coming
 * into its body refer to or declare.
 */
function renameLocals(text: MagicString, root: Node, incoming: Unit[], references: Reference[]): void {
  const parameters = (root.params as Node[]).map((parameter) => parameter.name as string);
  if (parameters.length > PARAMETERS.length)
    throw new Error(`a section takes at most ${PARAMETERS.length} parameters: ${where(root)}`);
  const taken = new Set(incoming.flatMap((unit) => unit.names));
  for (const { identifier } of references) if (isInside(identifier, incoming)) taken.add(identifier.name);
  const all = new Set(references.map((reference) => reference.identifier.name));
  for (const { identifier, binding } of references)
    if (PARAMETERS.includes(identifier.name) && binding)
      throw new Error(`${identifier.name} is the name of a section's parameter: ${where(identifier)}`);
  const bindings = new Set(references.map((reference) => reference.binding));
  for (const binding of bindings) {
    if (!binding || binding.scope.node !== root) continue;
    const position = binding.kind === "param" ? parameters.indexOf(binding.name) : -1;
    if (position < 0 && !taken.has(binding.name)) continue;
    let name = position < 0 ? `${binding.name}$1` : PARAMETERS[position];
    while (position < 0 && all.has(name)) name += "$";
    for (const identifier of [...binding.declarations, ...binding.references.map((r) => r.identifier)]) {
      const isShorthand =
        /[{,]\s*$/.test(text.original.slice(0, identifier.start)) && isShorthandKey(root, identifier);
      text.overwrite(identifier.start, identifier.end, isShorthand ? `${identifier.name}: ${name}` : name);
    }
  }
}

function isShorthandKey(root: Node, identifier: Node): boolean {
  let found = false;
  walk(root, (node) => {
    if (node.type === "Property" && node.shorthand && node.value.start === identifier.start) found = true;
  });
  return found;
}

/** A program with its sections in their places. */
export interface Placed extends Rewritten {
  sections: Section[];
  /** Where the digits stand that name the place of a section, and its number. */
  calls: { at: number; number: number }[];
}

/**
 * Put the bodies of the sections behind the end of `code`, and their offsets into the calls. `file` is the name in Storage
 * under which the bundle will lie, for a program without the loader.
 */
export function placeSections(code: string, file: string): Placed {
  const bodies: {
    start: number;
    end: number;
    call: Node;
    isFactory: boolean;
    name: string;
    before: string;
    parameters: number;
  }[] = [];
  const marks: { number: number; loader: string; call: Node; inTable: boolean }[] = [];
  const thresholds: Node[] = [];
  const tables: { start: number; end: number; loader: string }[] = [];
  const bare = `Function("${PARAMETERS.join('","')}",require("Storage").read(${JSON.stringify(file)},`;
  walk(parse(code), (node, above) => {
    const table = tableOf(node, above[above.length - 1]);
    if (table) tables.push(table);
    if (node.type === "Identifier" && Object.hasOwn(THRESHOLDS, node.name)) thresholds.push(node);
    if (node.type !== "CallExpression") return;
    if (node.callee.name === MARK) {
      const [number, loader] = node.arguments;
      const inTable = !!tableOf(above[above.length - 1], above[above.length - 2]);
      marks.push({ number: number.value, loader: loader.name ?? "", call: node, inTable });
    }
    if (node.callee.name !== TEXT) return;
    const [number, name, isFactory, { body, params }] = node.arguments;
    const isBlock = body.type === "BlockStatement";
    bodies[number.value] = {
      start: isBlock ? body.start + 1 : body.start,
      end: isBlock ? body.end - 1 : body.end,
      // an arrow function may have lost its braces to the minifier
      before: isBlock ? "" : "return ",
      call: node,
      isFactory: isFactory.value === 1,
      name: name.value,
      parameters: params.length,
    };
  });
  if (bodies.length === 0) return { ...rewritten(new MagicString(code)), sections: [], calls: [] };

  // What is left of the program is followed by the bodies in the order of their numbers, with a gap before each.
  // The minifier may have joined the last statement before them to them by a comma.
  const mainEnd = code.slice(0, bodies[0].call.start).replace(/[\s,;]+$/, "").length;
  let sections: Section[] = bodies.map(({ name }) => ({ name, offset: 0, length: 0 }));
  for (;;) {
    const text = new MagicString(code);
    const marked = marks.map(({ number, loader, call, inTable }) => {
      if (inTable && bodies[number].isFactory)
        throw new Error(`a table takes functions, and section ${bodies[number].name} is a value`);
      const head = inTable ? "" : loader ? `${loader}(` : bare;
      const tail = inTable ? "" : loader ? ")" : "))";
      // a section that is a value is what its code returns
      const made = `${head}${sections[number].offset}${tail}${bodies[number].isFactory ? "()" : ""}`;
      text.overwrite(call.start, call.end, made);
      return { call, number, head: head.length, growth: made.length - (call.end - call.start) };
    });
    const compared = thresholds.map((call) => {
      const number = bodies.findIndex(({ parameters }) => parameters >= THRESHOLDS[call.name]);
      const made = String(number < 0 ? NOWHERE : sections[number].offset);
      text.overwrite(call.start, call.end, made);
      return { call, number, head: 0, growth: made.length - (call.end - call.start) };
    });
    const replaced = [...marked, ...compared];
    const inserted = tables.flatMap(({ start, end, loader }) => {
      // a word before the table would grow together with the loader's name
      const head = `${/\w/.test(code[start - 1]) ? " " : ""}${loader}(`;
      text.appendRight(start, head).appendLeft(end, ")");
      return [
        { call: { start, end: start }, growth: head.length },
        { call: { start: end, end }, growth: 1 },
      ];
    });
    const lengthOf = (start: number, end: number): number =>
      [...replaced, ...inserted].reduce(
        (sum, { call, growth }) => (start <= call.start && call.end <= end ? sum + growth : sum),
        end - start,
      );
    let offset = lengthOf(0, mainEnd) + END.length;
    const next = bodies.map(({ name, start, end, before }) => {
      const section = { name, offset, length: before.length + lengthOf(start, end) };
      offset += section.length + END.length;
      return section;
    });
    if (JSON.stringify(next) !== JSON.stringify(sections)) {
      // the width of an offset moves what stands behind it: again, until nothing moves
      sections = next;
      continue;
    }
    bodies.forEach(({ start, before }, number) => {
      text.overwrite(number === 0 ? mainEnd : bodies[number - 1].end, start, END + before);
    });
    text.overwrite(bodies[bodies.length - 1].end, code.length, END);
    const named = replaced.filter(({ number }) => number >= 0);
    const calls = named.map(({ call, number, head }) => {
      const home = bodies.findIndex(({ start, end }) => start <= call.start && call.end <= end);
      const from = home < 0 ? 0 : sections[home].offset + bodies[home].before.length;
      return { at: from + lengthOf(bodies[home]?.start ?? 0, call.start) + head, number };
    });
    return { ...rewritten(text), sections, calls };
  }
}

/** The table that `array`, with nothing but markers of one loader in it, is in `parent`, which looks one of them up. */
function tableOf(
  array: Node | undefined,
  parent: Node | undefined,
): { start: number; end: number; loader: string } | undefined {
  if (array?.type !== "ArrayExpression" || parent?.type !== "MemberExpression") return undefined;
  if (parent.object !== array || !parent.computed) return undefined;
  const loaders = (array.elements as (Node | null)[]).map((each) =>
    each?.type === "CallExpression" && each.callee.name === MARK ? each.arguments[1].name : undefined,
  );
  return loaders[0] && loaders.every((loader) => loader === loaders[0])
    ? { start: parent.start, end: parent.end, loader: loaders[0] }
    : undefined;
}

function where(node: Node): string {
  return node.loc ? `line ${node.loc.start.line}` : `offset ${node.start}`;
}
