// Tables: a top-level `const TABLE = [{ a: 1, b: true, c: "x", d: f() }, ...]` becomes its columns, so that the source may have a table with
// names and the device has no objects: five rows of three numbers are 36 variables, five numbers are 6.
//
//   TABLE[row].a                            numbers and booleans: the bits of that row's number that hold `a`; beside other columns
//                                           numbers of one digit are a text of digits
//   TABLE[row].d                            sections, texts and names: the one of that row, among those of its column
//   TABLE.map((row) => row.c).join(" ")     a column of texts: one text
//   TABLE.length                            the number of rows
//
// Numbers are whole, from 0 on; a column with one value everywhere is that value. A row that is there in some profiles only is
// `...(PROFILE ? [{ ... }] : [])`. Leaves out tables that are used in any other way, and those whose rows need more than 31 bits.
import MagicString from "magic-string";
import { MARK } from "./sections";
import { analyse, type Binding, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

interface Column {
  name: string;
  isBoolean: boolean;
  /** Of each row: a whole number or a boolean as one. */
  values: number[];
  /** Of each row: what stands there; a column that is not packed into numbers. */
  nodes?: Node[];
  /** Bits that the largest value needs; 0: one value everywhere. */
  bits: number;
  /** Bits of the columns behind it. */
  shift: number;
}

interface Table {
  columns: Column[];
  rows: number;
  /** The rows' numbers, or a text of their digits. */
  numbers: string;
}

/** Pack the tables of `code`, a flat program. */
export function packTables(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top } = analyse(program);
  for (const statement of program.body as Node[]) {
    if (statement.type !== "VariableDeclaration" || statement.kind !== "const") continue;
    for (const { id, init } of statement.declarations as Node[]) {
      const table = tableOf(init);
      const binding = id.type === "Identifier" && top.bindings.get(id.name);
      if (table && binding) pack(code, program, text, binding, init, table);
    }
  }
  return rewritten(text);
}

/** The rows of an array, with those of the arrays that are spread in it. */
function rowsOf(init: Node): (Node | null)[] {
  return (init.elements as (Node | null)[]).flatMap((row) =>
    row?.type === "SpreadElement" && row.argument.type === "ArrayExpression" ? rowsOf(row.argument) : [row],
  );
}

/** The columns of an array of objects with the same members; undefined where it is none. */
function tableOf(init: Node | null): Table | undefined {
  if (init?.type !== "ArrayExpression") return undefined;
  const rows = rowsOf(init).map((row) =>
    row?.type === "ObjectExpression" ? (row.properties as Node[]) : [],
  );
  const names = (rows[0] ?? []).map((property) => String(property.key?.name));
  if (names.length === 0) return undefined;
  for (const row of rows)
    if (row.length !== names.length || names.some((name, at) => row[at].key?.name !== name)) return undefined;
  const columns = names.map((name, at): Column | undefined => {
    const nodes = rows.map((row) => row[at].value as Node);
    const literals = nodes.map(({ type, value }) => (type === "Literal" ? value : undefined));
    const isBoolean = literals.every((literal) => typeof literal === "boolean");
    if (nodes.every(isPlain)) return { name, isBoolean, nodes, values: [], bits: 0, shift: 0 };
    for (const literal of literals)
      if (!(typeof literal === "boolean" || (Number.isInteger(literal) && literal >= 0))) return undefined;
    const values = literals.map(Number);
    const isConstant = values.every((value) => value === values[0]);
    const bits = isConstant ? 0 : Math.floor(Math.log2(Math.max(...values))) + 1;
    return { name, isBoolean, values, bits, shift: 0 };
  });
  if (!columns.every((column) => column !== undefined)) return undefined;
  // the first column is on top: it needs no mask
  for (let at = columns.length - 1, shift = 0; at >= 0; shift += columns[at--].bits)
    columns[at].shift = shift;
  if (columns[0].shift + columns[0].bits > 31) return undefined;
  const numbers = rows.map((_, row) =>
    columns.reduce((number, { values, shift, bits }) => (bits ? number | (values[row] << shift) : number), 0),
  );
  // a digit is a number as soon as it is shifted or masked
  const isText = columns.filter(({ bits }) => bits).length > 1 && numbers.every((number) => number < 10);
  const hasOthers = columns.some(({ nodes }) => nodes);
  return {
    columns,
    rows: rows.length,
    numbers: isText && hasOthers ? `"${numbers.join("")}"` : `[${numbers.join(", ")}]`,
  };
}

/** Whether a value may be made where it is used, as often as it is: a text, a name, the mark of a section. */
function isPlain(node: Node): boolean {
  if (node.type === "Literal") return typeof node.value === "string";
  return node.type === "Identifier" || (node.type === "CallExpression" && node.callee.name === MARK);
}

function pack(
  code: string,
  program: Node,
  text: MagicString,
  binding: Binding,
  init: Node,
  table: Table,
): void {
  const { columns } = table;
  const identifiers = new Set(binding.references.map(({ identifier }) => identifier));
  const uses: { start: number; end: number; made: string }[] = [];
  walk(program, (node, above) => {
    if (!identifiers.has(node)) return;
    const [outer, use] = [above[above.length - 2], above[above.length - 1]];
    if (use?.type !== "MemberExpression" || use.object !== node) return;
    const isMember =
      use.computed && outer?.type === "MemberExpression" && outer.object === use && !outer.computed;
    const column = columns.find(({ name }) => name === outer?.property?.name);
    if (!use.computed && use.property.name === "length")
      uses.push({ start: use.start, end: use.end, made: String(table.rows) });
    else if (!use.computed && use.property.name === "map") {
      const made = joined(columns, above);
      if (made) uses.push(made);
    } else if (isMember && column) {
      const row = code.slice(use.property.start, use.property.end);
      const made = column.nodes
        ? `[${column.nodes.map(({ start, end }) => code.slice(start, end)).join(", ")}][${row}]`
        : member(code.slice(use.start, use.end), column, columns);
      uses.push({ start: outer.start, end: outer.end, made });
    }
  });
  if (uses.length !== binding.references.length) return;
  text.overwrite(init.start, init.end, table.numbers);
  for (const { start, end, made } of uses) text.overwrite(start, end, made);
}

/** What stands for `TABLE.map((row) => row.c).join(" ")`, of a column of texts; `above` is what stands around TABLE. */
function joined(
  columns: Column[],
  above: readonly Node[],
): { start: number; end: number; made: string } | undefined {
  const [call, join, map] = [-4, -3, -2].map((at) => above[above.length + at]);
  const [getter] = map?.arguments ?? [];
  const { object, property } = getter?.body ?? {};
  const isGetter = object?.name && object.name === getter.params[0]?.name;
  const isJoin =
    join?.property?.name === "join" &&
    call?.type === "CallExpression" &&
    call.arguments[0]?.type === "Literal";
  const texts = columns.find(({ name }) => name === property?.name)?.nodes?.map(({ value }) => value);
  if (!isGetter || !isJoin || !texts?.every((each) => typeof each === "string")) return undefined;
  return { start: call.start, end: call.end, made: JSON.stringify(texts.join(call.arguments[0].value)) };
}

/** What stands for a member of the row `number`. */
function member(number: string, { bits, shift, values, isBoolean }: Column, columns: Column[]): string {
  if (!bits) return isBoolean ? String(!!values[0]) : String(values[0]);
  const shifted = shift ? `${number} >> ${shift}` : number;
  const isTop = columns.every((other) => other.shift + other.bits <= shift + bits);
  const masked = isTop ? shifted : `${shifted} & ${2 ** bits - 1}`;
  return isBoolean ? `!!(${masked})` : `(${masked})`;
}
