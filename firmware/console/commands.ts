// The commands of the console, a section: each is a word of WORDS and, at its number, a row of the switch, which makes the
// section that does it; the last two, and whatever is followed by `set`, want it unlocked. A command may be cut to as many letters as no other begins with.
import { restart } from "hal:system";
import type { Bytes } from "../bytes";
import { PROVISIONING } from "../profile";
import { LOCKED, REQUEST_UNKNOWN } from "../tls/alert";
import type { Answer } from "./console";
import { until } from "./unlock";

/**
 * The words in the order of their rows. None begins another. No line holds what ends the text: the interpreter's indexOf takes
 * the end of a text for a match of a longer one.
 */
const WORDS =
  " status net cnt update id err log conf unlock lock selftest ping hs json help prove factory reboot\n";

/** Carry out `words`. A boolean says whether answers are for a machine from now on. Throws the code of what failed. */
export default function command(words: Bytes[], onConsole: (bytes?: Bytes) => void): Answer | boolean {
  const word = " " + words[0];
  const at = WORDS.indexOf(word);
  let row = -1;
  // not found, or found twice: none
  if (WORDS.indexOf(word, at + 1) < 0) for (let i = at; i >= 0; i--) if (WORDS[i] === " ") row++;
  if ((row > 15 || words[1] === "set") && getTime() > until) throw LOCKED;
  switch (row) {
    case 0: // status
    case 1: // net
    case 2: // cnt
    case 3: // update
    case 4: // id
      return section(import("./tell"))(row);
    case 5: // err
    case 6: // log
      return section(import("./history"))(row > 5);
    case 7: // conf
      return section(import("./conf"))(words);
    case 8: // unlock
      return section(import("./unlock")).unlock(words);
    case 9: // lock
      return section(import("./unlock")).lock();
    case 10: // selftest
      return section(import("./selftest"))();
    case 11: // ping
    case 12: // hs
      return section(import("./watch")).begin(row < 12, onConsole);
    case 13: // json
      return words[1] === "on";
    case 14: // help
      return { help: WORDS.slice(1, -1) };
    case 15: // prove
      if (!PROVISIONING) break;
      return section(import("./prove"))(words);
    case 16: // factory
      return section(import("./factory")).factory(words);
    case 17: // reboot
      return restart() as undefined;
  }
  throw REQUEST_UNKNOWN;
}
