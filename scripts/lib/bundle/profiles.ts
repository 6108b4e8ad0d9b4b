// A profile at build time (firmware/profiles.ts): which constants it changes on a board, and whose files stand in the place of others.
import { existsSync } from "node:fs";
import { join, relative } from "node:path";
import type { Plugin } from "rollup";
import { PROFILES, type Profile } from "../../../firmware/profiles";
import { UsageError } from "../cli/exit";

/** Give the profile of that name; an unknown one throws a sentence that lists the known ones. */
export function profileOf(name: string): Profile {
  const profile = Object.hasOwn(PROFILES, name) ? PROFILES[name] : undefined;
  if (!profile) throw new UsageError(`no profile "${name}"; there are ${Object.keys(PROFILES).join(", ")}.`);
  return profile;
}

/** Take firmware/<over[folder]>/<file> where firmware/<folder>/<file> is asked for, if it is there; `firmware`: that folder's path. */
export function overlay(firmware: string, over: Readonly<Record<string, string>>): Plugin {
  return {
    name: "overlay",
    resolveId(specifier, importer) {
      if (!importer || !specifier.startsWith(".")) return null;
      // "../tls/record" of a file over it as well
      const path = `${relative(firmware, join(importer, "..", specifier))}.ts`;
      const [folder, ...rest] = path.split("/");
      const instead = Object.hasOwn(over, folder) ? join(firmware, over[folder], ...rest) : "";
      return instead && existsSync(instead) ? instead : null;
    },
  };
}
