// One process that makes bundles, for makers.ts: one after the other, until its parent is gone.
import { makeBundle } from "../bundle/make";
import type { Made, Wanted } from "./makers";

process.on("message", async (wanted: string) => {
  const { options, cwd }: Wanted = JSON.parse(wanted);
  process.chdir(cwd);
  const made: Made = await makeBundle(options).catch(({ name, message }: Error) => ({
    failed: { name, message },
  }));
  process.send?.(JSON.stringify(made));
});
