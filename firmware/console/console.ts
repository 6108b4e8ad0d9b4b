// The technician's console (../README.md 6), sections: the port is ours (port.ts) and not the interpreter's, whose prompt shows
// every variable. A line in, its answer out; nothing reads a key back. An answer is one flat object: for people a line for
// each of its members, `name:value`, an error is E and its code; for machines (`json on`) a line of JSON, an error is
// {"err":code}. E0 is done. Lines that no one asked for come from `hs` and `ping` alone.
//
// Nothing is destroyed on a guess: a device is wiped at its start only where flash shows that a cut stopped its wipe or the
// writing of its keys (factory.ts). Keys that do not agree with their check values are told, and go on being used: the cipher
// may have been wrong, and of four keys one may be damaged alone.
import { resetCause, shutOtherPrompts } from "hal:system";
import { STEP_CONSOLE, STEP_IDLE } from "../app/steps";
import type { Bytes } from "../bytes";
import { LINE_LIMIT, PROVISIONING } from "../profile";
import { BOOTS } from "../store/event_log";
import { FLASH_FAILED, FLASH_FULL, INTERNAL_ERROR, REQUEST_UNKNOWN, SENT } from "../tls/alert";
import { which } from "./commands";

/** What a command answers: members; a code, 0: done; a line as it is; undefined: nothing, or what it has said itself. */
export type Answer = Record<string, unknown> | number | Bytes | undefined;

/** Whether a machine is at the other end. */
export let isJson: boolean;

/** Begin, on a device with a key record: returns whether it may go on; else it is wiped, and starts anew. */
export function open(): true | undefined {
  shutOtherPrompts();
  if (section(import("./factory")).wipe(true)) {
    section(import("../store/event_log")).note(STEP_IDLE, resetCause(), BOOTS);
    try {
      if (PROVISIONING) section(import("../boot/check_keys"))();
    } catch (error) {
      section(import("../store/event_log")).note(STEP_CONSOLE, error as number, 0);
    }
    return true;
  }
}

/** Carry out one line; `onConsole` is called without bytes, now and then, for what goes on after its answer (watch.ts). */
export function execute(line: Bytes, onConsole: () => void): void {
  let answer: Answer;
  try {
    if (line[LINE_LIMIT]) throw REQUEST_UNKNOWN;
    const words = line.split(" ");
    answer = section(import("./commands")).command(words)(which, words, onConsole);
  } catch (error) {
    answer = (error as number) | 0 || SENT + INTERNAL_ERROR;
    if (answer === FLASH_FULL || answer === FLASH_FAILED)
      section(import("../store/event_log")).note(STEP_CONSOLE, answer, 0);
  }
  if (answer !== undefined) section(import("./console")).say(answer);
}

/** Send an answer. */
export function say(answer: NonNullable<Answer>): void {
  if (typeof answer === "object" && !isJson)
    for (const name in answer) section(import("hal:serial")).serialWrite(name + ":" + answer[name] + "\r\n");
  else
    section(import("hal:serial")).serialWrite(
      (typeof answer === "string"
        ? answer
        : !isJson
          ? "E" + answer
          : JSON.stringify(answer === +(answer as number) ? { err: answer } : answer)) + "\r\n",
    );
}

/** `json`: `on` for answers to a machine, from this one on. */
export function mode(_which: number, words: Bytes[]): Answer {
  isJson = words[1] === "on";
  return 0;
}
