// Test builds with other settings: replaces the initialiser of `export const NAME = ...` in firmware/profile.ts.
import MagicString from "magic-string";
import type { Plugin } from "rollup";
import { type Node, parse, rewritten } from "./syntax";

export type Defines = Readonly<Record<string, string | number | boolean>>;

/** Override constants that `file` exports; a name that it does not export fails the build. */
export function overrideConstants(file: string, defines: Defines): Plugin {
  const left = new Set(Object.keys(defines));
  return {
    name: "override-constants",
    transform(code, id) {
      if (id !== file || left.size === 0) return null;
      const text = new MagicString(code);
      for (const statement of parse(code).body as Node[]) {
        if (
          statement.type !== "ExportNamedDeclaration" ||
          statement.declaration?.type !== "VariableDeclaration"
        )
          continue;
        for (const { id: name, init } of statement.declaration.declarations as Node[]) {
          if (!left.delete(name.name)) continue;
          text.overwrite(init.start, init.end, JSON.stringify(defines[name.name]));
        }
      }
      return rewritten(text);
    },
    buildEnd(error) {
      if (!error && left.size > 0) throw new Error(`no such constant in ${file}: ${[...left].join(", ")}`);
    },
  };
}
