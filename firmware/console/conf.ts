// `conf`, `conf get` and `conf set NAME VALUE`, a section. The passphrase goes in and never out.
import { hasSettings } from "product";
import type { Bytes } from "../bytes";
import { changeSetting } from "../store/settings";
import type { Answer } from "./console";

/** Answer all settings, of the passphrase only whether there is one; or change one. Throws what changeSetting throws. */
export default function conf(_which: number, words: Bytes[]): Answer {
  if (words[1] === "set") {
    changeSetting(words[2], words.slice(3).join(" "));
    return 0;
  }
  const all = section(import("../store/settings")).readSettings() as Record<string, unknown>;
  all.pass = all.pass ? 1 : 0;
  if (hasSettings)
    for (const name in section(import("product")).settings)
      all[name] = section(import("../store/settings")).own(name);
  return all;
}
