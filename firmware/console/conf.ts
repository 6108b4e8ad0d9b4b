// `conf get` and `conf set NAME VALUE`, a section. The passphrase goes in and never out.
import type { Bytes } from "../bytes";
import { LOCKED, REQUEST_UNKNOWN } from "../tls/alert";
import type { Answer } from "./console";
import { until } from "./unlock";

/** Answer all settings, of the passphrase only whether there is one; or change one. Throws LOCKED, what changeSetting throws. */
export default function conf(words: Bytes[]): Answer {
  if (words[1] === "get") {
    const all = section(import("../settings")).readSettings() as Record<string, unknown>;
    all.pass = all.pass ? 1 : 0;
    return all;
  }
  if (words[1] !== "set") throw REQUEST_UNKNOWN;
  if (getTime() > until) throw LOCKED;
  section(import("../settings")).changeSetting(words[2], words.slice(3).join(" "));
  return 0;
}
