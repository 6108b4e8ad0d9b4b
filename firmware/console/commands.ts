// The commands of the console, a section: each is a word of WORDS and, at its place, a row of the table, the section that does
// it, which gets its row, the words of the line, and whom to call now and then (watch.ts). The last two rows, and whatever is
// followed by `set`, want it unlocked. A command may be cut to as many letters as no other begins with.
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
  " status net cnt id update err log conf unlock lock selftest ping hs json help prove factory reboot\n";
/** `help` is made here, where the words are. */
const HELP = 14;
const PROVE = 15;
/** The first row that wants it unlocked. */
const SERVICE = 16;

/** What does a row. A boolean answer says whether answers are for a machine from now on. */
export type Action = (row: number, words: Bytes[], onConsole: (bytes?: Bytes) => void) => Answer | boolean;

/** The row that `command` has found. */
export let row = -1;

/**
 * Find what does `words`, for the caller to call: so the words of all are off the heap by then. Or, where that is all, the
 * answer. Throws REQUEST_UNKNOWN, LOCKED.
 */
export function command(words: Bytes[]): Action | Answer {
  const word = " " + words[0];
  const at = WORDS.indexOf(word);
  row = -1;
  // not found, or found twice: none
  if (WORDS.indexOf(word, at + 1) < 0) for (let i = at; i >= 0; i--) if (WORDS[i] === " ") row++;
  if (row < 0 || (row === PROVE && !PROVISIONING)) throw REQUEST_UNKNOWN;
  if (row === HELP) return { help: WORDS.slice(1, -1) };
  if ((row >= SERVICE || words[1] === "set") && getTime() > until) throw LOCKED;
  return [
    section(import("./tell")),
    section(import("./tell")),
    section(import("./tell")),
    section(import("./tell")),
    section(import("./tell")),
    section(import("./history")),
    section(import("./history")),
    section(import("./conf")),
    section(import("./unlock")).unlock,
    section(import("./unlock")).lock,
    section(import("./selftest")),
    section(import("./watch")).begin,
    section(import("./watch")).begin,
    section(import("./commands")).mode,
    section(import("./conf")),
    PROVISIONING ? section(import("./prove")) : section(import("./conf")),
    section(import("./factory")).factory,
    section(import("./commands")).reboot,
  ][row] as Action;
}

/** `json`: `on` or not. */
export function mode(_row: number, words: Bytes[]): boolean {
  return words[1] === "on";
}

/** `reboot`. */
export function reboot(): Answer {
  section(import("hal:system")).restart();
  return undefined;
}
