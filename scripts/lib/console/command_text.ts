// What each command of the device's console is for, in words, and how its answer ends: for the terminal, the page and the
// technicians' sheet. A test holds these rows to the device's own table.

export interface CommandText {
  /** What follows the word, as on a sheet. */
  takes?: string;
  /** What it does, a sentence. */
  about: string;
  /** Whether the device wants its challenge answered first. */
  service?: true;
  /**
   * How its answer ends. `one`: with its first object; `quiet`: when no more comes; `session`: with an error, or a key of
   * the object that tells the end.
   */
  ends: "one" | "quiet" | "session";
  /** How long the device may be silent over it, milliseconds. */
  patienceMs?: number;
  /** With so many words or more the device restarts and answers nothing. */
  restartsWith?: number;
  /** Nothing is changed by asking twice. */
  repeatable?: true;
}

/** From the network's timeouts: what joins, looks up, connects and shakes hands. */
const SESSION_PATIENCE_MS = 60_000;

/** By word; a word of two stands before its first alone. */
export const COMMAND_TEXT: Readonly<Record<string, CommandText>> = {
  status: {
    about: "How the device is: step, last error, time, memory, lock.",
    ends: "one",
    repeatable: true,
  },
  net: { about: "Server, access point and own address.", ends: "one", repeatable: true },
  err: { about: "The last error, and the step at which it came about.", ends: "one", repeatable: true },
  cnt: {
    about: "Counts of boots, sessions, failed attempts and false answers.",
    ends: "one",
    repeatable: true,
  },
  log: { about: "The last eight events, the newest first.", ends: "quiet", repeatable: true },
  id: { about: "Identity, board, firmware and its sequence.", ends: "one", repeatable: true },
  selftest: {
    about: "Test AES, hashes, flash and noise against known answers.",
    ends: "one",
    patienceMs: 30_000,
    repeatable: true,
  },
  ping: {
    about: "Send a PINGREQ to the broker and time its answer.",
    ends: "session",
    patienceMs: SESSION_PATIENCE_MS,
  },
  hs: {
    about: "End the session and make a new one, each step as it is reached.",
    ends: "session",
    patienceMs: SESSION_PATIENCE_MS,
  },
  update: { about: "The running image, and how far a download is.", ends: "one", repeatable: true },
  "conf get": {
    about: "The settings; of the password only whether there is one.",
    ends: "one",
    repeatable: true,
  },
  "conf set": {
    takes: "NAME VALUE",
    about: "Change a setting.",
    service: true,
    ends: "one",
    patienceMs: 5000,
  },
  unlock: {
    takes: "[ROLE MINUTES ANSWER]",
    about: "Show the challenge; with role s (service) or r (reset), minutes and the answer: unlock.",
    ends: "one",
    // a try is counted in flash before it is judged
    patienceMs: 15_000,
  },
  lock: { about: "Lock it again before the minutes are over.", ends: "one", repeatable: true },
  reboot: { about: "Restart the device.", service: true, ends: "one", restartsWith: 1, patienceMs: 500 },
  factory: {
    takes: "[CODE]",
    about: "Role r: give a code; with that code: wipe keys and settings for ever.",
    service: true,
    ends: "one",
    restartsWith: 2,
  },
  json: { takes: "on|off", about: "Answers for machines, or for people.", ends: "one", repeatable: true },
  help: { about: "The words that the device knows.", ends: "one", repeatable: true },
};

/** Find the row of a line as typed: words may be cut short where only one begins so. Undefined: none, or several. */
export function commandOf(line: string): { word: string; row: CommandText } | undefined {
  const typed = line.trim().toLowerCase().split(/\s+/);
  const fits = (word: string) =>
    word.split(" ").every((part, i) => typed[i] !== undefined && part.startsWith(typed[i])) &&
    typed[0] !== "";
  const words = Object.keys(COMMAND_TEXT);
  const exact = words.find((word) => word.split(" ").every((part, i) => part === typed[i]));
  const found = exact ? [exact] : words.filter(fits);
  return found.length === 1 ? { word: found[0], row: COMMAND_TEXT[found[0]] } : undefined;
}
