// Which file a product is, for commands that take one.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { UsageError } from "../cli/exit";
import { PROJECT } from "../project";

/** The path of a product's module: a name in firmware/product, or a file. */
export function productFile(text: string): string {
  const own = join(PROJECT, "firmware/product", `${text}.ts`);
  if (/^[a-z_]+$/.test(text) && existsSync(own)) return own;
  const path = resolve(text);
  if (!existsSync(path))
    throw new UsageError(`there is no product ${text}: neither in firmware/product nor a file.`);
  return path;
}
