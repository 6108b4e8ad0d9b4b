// The board's choice at build time: `hal:<interface>` becomes the driver file that the board's data names, and
// `board` the data themselves, put into the code as literals so that what a board does not need folds away.
import { existsSync } from "node:fs";
import { join } from "node:path";
import MagicString from "magic-string";
import type { Plugin } from "rollup";
import type { BoardData } from "../project";
import { children, type Node, parse, type Rewritten, rewritten } from "./syntax";

/** `hal:` specifier -> the field of the board's data that names the driver file. */
export const DRIVER_FIELDS: Readonly<Record<string, string>> = {
  "hal:aes128": "aes128",
  "hal:digest": "digest",
  "hal:random_source": "randomSource",
  "hal:tcp_socket": "tcpSocket",
  "hal:network": "network",
  "hal:flash": "flash",
  "hal:clock": "clock",
  "hal:system": "system",
  "hal:serial": "serial",
};

const VIRTUAL_BOARD = "\0board";

/** Find the drivers of `board` in `driverFolder` and replace its constants. */
export function boardModules(board: BoardData, driverFolder: string): Plugin {
  return {
    name: "board-modules",
    resolveId(specifier) {
      if (specifier === "board") return VIRTUAL_BOARD;
      if (!specifier.startsWith("hal:")) return null;
      const field = DRIVER_FIELDS[specifier];
      if (!field) throw new Error(`no such interface: ${specifier}`);
      const driver = board[field];
      if (typeof driver !== "string" || driver === "")
        throw new Error(`board ${board.name} names no driver for ${specifier} (field ${field})`);
      const file = join(driverFolder, `${driver}.ts`);
      if (!existsSync(file)) throw new Error(`board ${board.name}: no driver ${file} for ${specifier}`);
      return file;
    },
    load(id) {
      return id === VIRTUAL_BOARD ? `export const board = ${JSON.stringify(board)};` : null;
    },
    transform(code, id) {
      return id === VIRTUAL_BOARD ? null : inlineBoard(code, board);
    },
  };
}

/** Replace `board.a.b` by its value in a module that has `import { board } from "board"`. None: undefined. */
export function inlineBoard(code: string, board: BoardData): Rewritten | undefined {
  if (!/["']board["']/.test(code)) return undefined;
  const program = parse(code);
  const declaration = program.body.find(
    (node: Node) => node.type === "ImportDeclaration" && node.source.value === "board",
  );
  const local = declaration?.specifiers.find(
    (each: Node) => each.type === "ImportSpecifier" && each.imported.name === "board",
  )?.local.name;
  if (!local) return undefined;
  const text = new MagicString(code);
  const visit = (node: Node): void => {
    const path = memberPath(node);
    if (!path || path[0] !== local) {
      for (const child of children(node)) visit(child);
      return;
    }
    let value: unknown = board;
    for (const name of path.slice(1)) value = (value as Record<string, unknown> | undefined)?.[name];
    const literal = value === undefined ? "undefined" : JSON.stringify(value);
    text.overwrite(
      node.start,
      node.end,
      typeof value === "object" || Number(value) < 0 ? `(${literal})` : literal,
    );
  };
  for (const statement of program.body) if (statement !== declaration) visit(statement);
  return rewritten(text);
}

/** `a.b.c` as its names; undefined for any other expression and for a single name. */
function memberPath(node: Node): string[] | undefined {
  if (node.type !== "MemberExpression" || node.computed) return undefined;
  const object = node.object.type === "Identifier" ? [node.object.name] : memberPath(node.object);
  return object && [...object, node.property.name];
}
