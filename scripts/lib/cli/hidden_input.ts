// A terminal whose keys are shown nowhere, from the moment that a command which may ask for a secret has read its command line:
// what is typed ahead answers the first question. In the background of a shell the terminal is another's, and is left alone:
// whoever changes it there is stopped (SIGTTOU). Leaves out what is typed before Node has started.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { UsageError } from "./exit";
import { oneLineEnd } from "./line_ends";
import { show } from "./show";

let hidden: HiddenInput | undefined;

/** Show nothing of what is typed from now on; undefined where there is no terminal, or it is another's. */
export function hideInput(): HiddenInput | undefined {
  if (process.stdin.isTTY && isInForeground()) hidden ??= new HiddenInput(process.stdin);
  return hidden;
}

/** Give the terminal to whoever comes next. What was typed ahead is dropped. */
export function showInput(): void {
  hidden?.close();
  hidden = undefined;
}

/** Whether the terminal's keys are this process's: its group is the terminal's (proc(5): pgrp and tpgid; ps elsewhere). */
function isInForeground(): boolean {
  try {
    const [, , group, , , foreground] = readFileSync("/proc/self/stat", "latin1")
      .replace(/^.*\) /s, "")
      .split(" ");
    return group === foreground;
  } catch {
    const { stdout = "" } = spawnSync("ps", ["-o", "pgid=,tpgid=", "-p", `${process.pid}`], {
      encoding: "utf8",
    });
    const [group, foreground] = stdout.trim().split(/\s+/);
    return group === foreground;
  }
}

const ERASE = ["\x7f", "\b"];
const KILL = "\x15"; // Ctrl-U
const INTERRUPT = "\x03"; // Ctrl-C
const END_OF_INPUT = "\x04"; // Ctrl-D

/** A terminal's keys, shown nowhere from the first moment to the last; what is typed ahead answers the next question. */
export class HiddenInput {
  private typed = ""; // latin1, a byte a character
  private readonly lineEnds = oneLineEnd();
  private wake = () => {};
  private isAsking = false;
  private isGivenUp = false;
  private readonly onData = (chunk: Buffer | string) => {
    this.typed += this.lineEnds(typeof chunk === "string" ? chunk : chunk.toString("latin1"));
    // nothing else sees Ctrl-C while the terminal is raw, and it never waits for its turn
    if (!this.typed.includes(INTERRUPT)) this.wake();
    else if (this.isAsking) this.onEnd();
    else {
      this.close();
      process.kill(process.pid, "SIGINT");
    }
  };
  private readonly onEnd = () => {
    this.isGivenUp = true;
    this.wake();
  };

  constructor(private readonly input: NodeJS.ReadStream) {
    input.setRawMode(true).on("data", this.onData).on("end", this.onEnd).resume();
    // the command ends without being asked as well
    input.unref();
  }

  /** Ask, and give the bytes of the line. Throws UsageError at Ctrl-C, Ctrl-D and the terminal's end. */
  async ask(question: string): Promise<Buffer> {
    process.stderr.write(show(question));
    this.isAsking = true;
    this.input.ref();
    try {
      for (let line = ""; ; ) {
        while (this.typed === "" && !this.isGivenUp)
          await new Promise<void>((resolve) => {
            this.wake = resolve;
          });
        const key = this.typed[0];
        if (this.isGivenUp || key === END_OF_INPUT)
          throw new UsageError("given up at the prompt; nothing was written.");
        this.typed = this.typed.slice(1);
        if (key === "\n") return Buffer.from(line, "latin1");
        line = edited(line, key);
      }
    } finally {
      this.isAsking = false;
      this.input.unref();
      process.stderr.write("\n");
    }
  }

  close(): void {
    this.input.off("data", this.onData).off("end", this.onEnd);
    this.input.pause();
    this.input.setRawMode(false);
    this.input.ref();
    this.typed = "";
  }
}

function edited(typed: string, key: string): string {
  if (key === KILL) return "";
  // A character of UTF-8 goes as a whole: its later bytes are 80 to BF.
  if (ERASE.includes(key)) return typed.replace(/[\s\S][\x80-\xbf]*$/, "");
  return typed + key;
}
