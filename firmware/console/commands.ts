// The commands of the console, a section: each is a word of WORDS and, at its place, a row of the table, the section that does
// it, which gets its row, the words of the line, and whom to call now and then (watch.ts). The last two rows, and whatever is
// followed by `set`, want it unlocked. A command may be cut to as many letters as no other begins with.
import type { Bytes } from "../bytes";
import { HISTORY, PROVISIONING, UPDATES } from "../profile";
import { LOCKED, REQUEST_UNKNOWN } from "../tls/alert";
import type { Answer } from "./console";
import { until } from "./unlock";

/**
 * The words in the order of their rows. None begins another. No line holds what ends the text: the interpreter's indexOf takes
 * the end of a text for a match of a longer one.
 */
const WORDS =
  " status net cnt id update err log conf unlock lock selftest ping hs json help prove factory reboot\n";
/** Rows that tell.ts answers. */
const TOLD = UPDATES ? 4 : 5;
/** `help` is made here, where the words are. */
const HELP = 14;
const PROVE = 15;
const ERR = 5;
const LOG = 6;
/** The first row that wants it unlocked. */
const SERVICE = 16;

/** What does a row. */
export type Action = (row: number, words: Bytes[], onConsole: () => void) => Answer;

/** The row that `command` has found. */
export let row: number;

/**
 * Find what does `words`, for the caller to call: so the words of all are off the heap by then. Throws REQUEST_UNKNOWN, LOCKED.
 */
export function command(words: Bytes[]): Action {
  const word = " " + words[0];
  const at = WORDS.indexOf(word);
  // as many as there are words before it
  row = WORDS.substr(0, at).split(" ").length - 1;
  // not found, or found twice
  if (
    at < 0 ||
    WORDS.indexOf(word, at + 1) > 0 ||
    (row === PROVE && !PROVISIONING) ||
    (!HISTORY && (row === ERR || row === LOG))
  )
    throw REQUEST_UNKNOWN;
  if (row === HELP) return () => ({ help: WORDS.slice(1, -1) });
  if ((row >= SERVICE || words[1] === "set") && getTime() > until) throw LOCKED;
  if (row < TOLD) return section(import("./tell"));
  return [
    ...(UPDATES ? [section(import("./update"))] : []),
    HISTORY ? section(import("./history")) : section(import("./conf")),
    HISTORY ? section(import("./history")) : section(import("./conf")),
    section(import("./conf")),
    section(import("./unlock")).unlock,
    section(import("./unlock")).lock,
    section(import("./selftest")),
    section(import("./watch")).begin,
    section(import("./watch")).begin,
    section(import("./console")).mode,
    section(import("./conf")),
    PROVISIONING ? section(import("./prove")) : section(import("./conf")),
    section(import("./factory")).factory,
    section(import("hal:system")).restart as () => undefined,
  ][row - TOLD] as Action;
}
