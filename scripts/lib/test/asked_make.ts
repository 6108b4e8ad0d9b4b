// Stands in the compiled tree (compile.ts) where build.ts loads bundle/make.ts: has a process make the bundle that is warm already
// (makers.ts). Where there is none, in a test that is started by hand, it makes the bundle itself.
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import type { BuildOptions } from "../bundle/build";
import { UsageError } from "../cli/exit";
import type { Made, Wanted } from "./makers";

export async function makeBundle(options: BuildOptions): Promise<Exclude<Made, { failed: unknown }>> {
  const path = process.env.BUNDLE_MAKERS;
  if (!path) return (await import("../bundle/make")).makeBundle(options);
  const socket = connect(path);
  socket.end(JSON.stringify({ options, cwd: process.cwd() } satisfies Wanted));
  const made: Made = JSON.parse(await text(socket));
  if (!("failed" in made)) return made;
  const { name, message } = made.failed;
  throw name === "UsageError" ? new UsageError(message) : Object.assign(new Error(message), { name });
}
