// The commands of the console, a section: a table of their words, with what does each, which of its answers is meant, and
// whether it wants the console unlocked; whatever is followed by `set` does. A command may be cut to as many letters as no
// other begins with.
import { hasStop, hasStore } from "product";
import type { Bytes } from "../bytes";
import { HISTORY, PROVISIONING, UPDATES } from "../profile";
import { LOCKED, REQUEST_UNKNOWN } from "../tls/alert";
import type { Answer } from "./console";
import { LATEST, NEWEST } from "./history";
import { CNT, ID, NET, STATUS } from "./tell";
import { until } from "./unlock";
import { HANDSHAKE, LIFE_SIGN } from "./watch";

/** What does a command; `which` of its answers. */
export type Action = (which: number, words: Bytes[], onConsole: () => void) => Answer;

/** No word begins another, nor HELP, which is made here, where the words are. */
const COMMANDS = [
  { word: "status", isService: false, action: section(import("./tell")), which: STATUS },
  { word: "net", isService: false, action: section(import("./tell")), which: NET },
  { word: "cnt", isService: false, action: section(import("./tell")), which: CNT },
  { word: "id", isService: false, action: section(import("./tell")), which: ID },
  ...(UPDATES ? [{ word: "update", isService: false, action: section(import("./update")), which: 0 }] : []),
  ...(HISTORY
    ? [
        { word: "err", isService: false, action: section(import("./history")), which: NEWEST },
        { word: "log", isService: false, action: section(import("./history")), which: LATEST },
      ]
    : []),
  { word: "conf", isService: false, action: section(import("./conf")), which: 0 },
  { word: "unlock", isService: false, action: section(import("./unlock")).unlock, which: 0 },
  { word: "lock", isService: false, action: section(import("./unlock")).lock, which: 0 },
  { word: "selftest", isService: false, action: section(import("./selftest")), which: 0 },
  { word: "ping", isService: false, action: section(import("./watch")).begin, which: LIFE_SIGN },
  { word: "hs", isService: false, action: section(import("./watch")).begin, which: HANDSHAKE },
  { word: "json", isService: false, action: section(import("./console")).mode, which: 0 },
  ...(PROVISIONING
    ? [{ word: "prove", isService: false, action: section(import("./prove")), which: 0 }]
    : []),
  { word: "factory", isService: true, action: section(import("./factory")).factory, which: 0 },
  ...(hasStop || hasStore
    ? [{ word: "reboot", isService: true, action: section(import("../app/application")).reboot, which: 0 }]
    : [{ word: "reboot", isService: true, action: section(import("hal:system")).restart, which: 0 }]),
];

const HELP = "help";

/** Which answer of the action that `command` has found is meant. */
export let which: number;

/**
 * Find what does `words`, for the caller to call: so the words of all are off the heap by then. Throws REQUEST_UNKNOWN, LOCKED.
 */
export function command(words: Bytes[]): Action {
  // no line holds what ends the text: the interpreter's indexOf takes the end of a text for a match of a longer one
  const all = " " + COMMANDS.map((each) => each.word).join(" ") + " " + HELP + "\n";
  const word = " " + words[0];
  const at = all.indexOf(word);
  // not found, or found twice
  if (at < 0 || all.indexOf(word, at + 1) > 0) throw REQUEST_UNKNOWN;
  // as many as there are words before it
  const row = all.substr(0, at).split(" ").length - 1;
  if (row === COMMANDS.length) return () => ({ help: all.slice(1, -1) });
  if ((COMMANDS[row].isService || words[1] === "set") && getTime() > until) throw LOCKED;
  which = COMMANDS[row].which;
  return COMMANDS[row].action as Action;
}
