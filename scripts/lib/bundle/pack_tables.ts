// Tables of numbers: a top-level `const TABLE = [{ a: 1, b: true }, ...]` becomes a number for each row, so that the source may have
// a table with names and the device has no objects: five rows of three members are 36 variables, five numbers are 6.
//
//   TABLE[row].a   the bits of that row's number that hold `a`       TABLE.length   the number of rows
//
// Members are whole numbers from 0 on, or booleans; a column with one value everywhere is that value. Leaves out tables that are
// used in any other way, and those whose rows need more than 31 bits.
import MagicString from "magic-string";
import { analyse, type Binding, type Node, parse, type Rewritten, rewritten, walk } from "./syntax";

interface Column {
  name: string;
  isBoolean: boolean;
  values: number[];
  /** Bits that the largest value needs; 0: one value everywhere. */
  bits: number;
  /** Bits of the columns behind it. */
  shift: number;
}

/** Pack the tables of `code`, a flat program. */
export function packTables(code: string): Rewritten {
  const text = new MagicString(code);
  const program = parse(code);
  const { top } = analyse(program);
  for (const statement of program.body as Node[]) {
    if (statement.type !== "VariableDeclaration" || statement.kind !== "const") continue;
    for (const { id, init } of statement.declarations as Node[]) {
      const columns = columnsOf(init);
      const binding = id.type === "Identifier" && top.bindings.get(id.name);
      if (columns && binding) pack(code, program, text, binding, init, columns);
    }
  }
  return rewritten(text);
}

/** The columns of an array of objects with the same members, all of them literals; undefined where it is none. */
function columnsOf(init: Node | null): Column[] | undefined {
  if (init?.type !== "ArrayExpression" || init.elements.length === 0) return undefined;
  const rows = (init.elements as (Node | null)[]).map((row) =>
    row?.type === "ObjectExpression" ? (row.properties as Node[]) : [],
  );
  const names = rows[0].map((property) => String(property.key?.name));
  const columns = names.map((name, at): Column | undefined => {
    const values: number[] = [];
    let isBoolean = true;
    for (const row of rows) {
      const value = row.length === names.length && row[at].key?.name === name ? row[at].value : undefined;
      const literal = value?.type === "Literal" ? value.value : undefined;
      if (!(typeof literal === "boolean" || (Number.isInteger(literal) && literal >= 0))) return undefined;
      isBoolean &&= typeof literal === "boolean";
      values.push(Number(literal));
    }
    const isConstant = values.every((value) => value === values[0]);
    const bits = isConstant ? 0 : Math.floor(Math.log2(Math.max(...values))) + 1;
    return { name, isBoolean, values, bits, shift: 0 };
  });
  if (names.length === 0 || !columns.every((column) => column !== undefined)) return undefined;
  // the first column is on top: it needs no mask
  for (let at = columns.length - 1, shift = 0; at >= 0; shift += columns[at--].bits)
    columns[at].shift = shift;
  return columns[0].shift + columns[0].bits <= 31 ? columns : undefined;
}

function pack(
  code: string,
  program: Node,
  text: MagicString,
  binding: Binding,
  init: Node,
  columns: Column[],
): void {
  const identifiers = new Set(binding.references.map(({ identifier }) => identifier));
  const uses: { start: number; end: number; made: string }[] = [];
  walk(program, (node, above) => {
    if (!identifiers.has(node)) return;
    const [outer, use] = [above[above.length - 2], above[above.length - 1]];
    if (use?.type !== "MemberExpression" || use.object !== node) return;
    if (!use.computed && use.property.name === "length")
      uses.push({ start: use.start, end: use.end, made: String(columns[0].values.length) });
    const column = columns.find(({ name }) => name === outer?.property?.name);
    const isMember =
      use.computed && outer?.type === "MemberExpression" && outer.object === use && !outer.computed;
    if (!isMember || !column) return;
    uses.push({
      start: outer.start,
      end: outer.end,
      made: member(code.slice(use.start, use.end), column, columns),
    });
  });
  if (uses.length !== binding.references.length) return;
  const rows = columns[0].values.map((_, row) =>
    columns.reduce((number, { values, shift, bits }) => (bits ? number | (values[row] << shift) : number), 0),
  );
  text.overwrite(init.start, init.end, `[${rows.join(", ")}]`);
  for (const { start, end, made } of uses) text.overwrite(start, end, made);
}

/** What stands for a member of the row `number`. */
function member(number: string, { bits, shift, values, isBoolean }: Column, columns: Column[]): string {
  if (!bits) return isBoolean ? String(!!values[0]) : String(values[0]);
  const shifted = shift ? `${number} >> ${shift}` : number;
  const isTop = columns.every((other) => other.shift + other.bits <= shift + bits);
  const masked = isTop ? shifted : `${shifted} & ${2 ** bits - 1}`;
  return isBoolean ? `!!(${masked})` : `(${masked})`;
}
