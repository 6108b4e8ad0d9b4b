// The product's module at build time: `product` (firmware/product/product.ts) becomes the file that is named, each member that it
// lacks an empty function, and a constant for each member says whether it is there.
import { existsSync, readFileSync } from "node:fs";
import type { Plugin } from "rollup";

/** What a product may have. */
export const MEMBERS = ["start", "online", "command", "telemetry", "well"];

/** Resolve `product` to `file`, an absolute path. Throws where there is none. */
export function productModule(file: string): Plugin {
  if (!existsSync(file)) throw new Error(`there is no product ${file}`);
  const exported = new Set(
    [...readFileSync(file, "utf8").matchAll(/^export (?:function|const|let) (\w+)/gm)].map(
      ([, name]) => name,
    ),
  );
  const path = JSON.stringify(file);
  return {
    name: "product-module",
    resolveId: (specifier) => (specifier === "product" ? "\0product" : null),
    load(id) {
      if (id !== "\0product") return null;
      this.addWatchFile(file);
      return MEMBERS.map((name) => {
        const has = `export const has${name[0].toUpperCase()}${name.slice(1)} = ${exported.has(name)};`;
        return exported.has(name)
          ? `export { ${name} } from ${path};\n${has}`
          : `export function ${name}() {}\n${has}`;
      }).join("\n");
    },
  };
}
