// Which file a product is, for commands that take one.
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { UsageError } from "../cli/exit";
import { PROJECT } from "../project";

/** The path of a product's module: a name in firmware/product, a file, or of a folder its main.ts. */
export function productFile(text: string): string {
  const own = join(PROJECT, "firmware/product", `${text}.ts`);
  if (/^[a-z_]+$/.test(text) && existsSync(own)) return own;
  const path = resolve(text);
  const file = existsSync(path) && statSync(path).isDirectory() ? join(path, "main.ts") : path;
  if (!existsSync(file))
    throw new UsageError(`there is no product ${text}: neither in firmware/product nor a file.`);
  return file;
}
