// The order of a program's top-level variables: what is used most comes first, for the minifier gives its short names, of which
// there are fifty, in that order. A variable comes behind those that its value takes when it is made; a function takes
// none. Leaves out programs in which something runs between two declarations.
import MagicString from "magic-string";
import { analyse, isFunction, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

/** Put the declarators of the `let` statements that begin `code`, a flat program, into the order of their uses. */
export function orderDeclarations(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top, references } = analyse(program);
  const body = program.body as Node[];
  const count = body.findIndex(
    (statement) => statement.type !== "VariableDeclaration" || statement.kind !== "let",
  );
  const head = count < 0 ? body : body.slice(0, count);
  const declarators: Node[] = head.flatMap((statement) => statement.declarations as Node[]);
  if (declarators.length < 2 || declarators.some(({ id }) => id.type !== "Identifier"))
    return rewritten(text);
  const uses = ({ id }: Node): number => top.bindings.get(id.name)?.references.length ?? 0;
  const inside = ({ init }: Node): Set<string> => {
    const names = new Set<string>();
    if (!init || isFunction(init)) return names;
    walk(init, (node) => {
      if (references.some(({ identifier, binding }) => identifier === node && binding?.scope === top))
        names.add(node.name);
    });
    return names;
  };
  const left = declarators.map((node) => ({ node, needs: inside(node), weight: uses(node) }));
  // what others need must come as early as they do
  for (const _ of left)
    for (const { needs, weight } of left)
      for (const other of left)
        if (needs.has(other.node.id.name)) other.weight = Math.max(other.weight, weight);
  left.sort((a, b) => b.weight - a.weight);
  const ordered: Node[] = [];
  const done = new Set<string>();
  while (left.length > 0) {
    const at = left.findIndex(({ needs }) => [...needs].every((name) => done.has(name)));
    const [{ node }] = left.splice(at < 0 ? 0 : at, 1);
    ordered.push(node);
    done.add(node.id.name);
  }
  // each declarator moves as it is, with its place in the source map
  const end = head[head.length - 1].end;
  text.remove(head[0].start, declarators[0].start);
  declarators.forEach((declarator, index) => {
    const next = declarators[index + 1]?.start ?? end;
    if (declarator.end < next) text.remove(declarator.end, next);
  });
  for (const node of ordered) text.move(node.start, node.end, end);
  text.prependRight(ordered[0].start, "let ");
  for (const node of ordered) text.appendLeft(node.end, node === ordered[ordered.length - 1] ? ";" : ",");
  return rewritten(text);
}
