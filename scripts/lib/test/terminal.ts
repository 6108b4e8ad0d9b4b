// A command at a pseudo-terminal, which script(1) of util-linux makes: typed to when it asks, its screen read. Leaves out what
// a terminal draws: the screen is all that was written to it, in its order.
import { spawn } from "node:child_process";
import { PROJECT } from "../project";
import { nodeArguments } from "./program";

export interface Outcome {
  code: number | null;
  screen: string;
}

/** What is typed once this stands on the screen, behind what stood there at the step before. */
export type Step = [seen: RegExp, typed: string];

/** Run scripts/<name>.ts at a terminal to its end, and type each step when its time has come; `inBackground`: as a job of a shell. */
export function atTerminal(
  script: string,
  args: readonly string[],
  steps: readonly Step[],
  { columns = 80, inBackground = false } = {},
): Promise<Outcome> {
  const command = [process.execPath, ...nodeArguments(`scripts/${script}.ts`, ...args)]
    .map((word) => `'${word}'`)
    .join(" ");
  const started = inBackground ? `set -m; ${command} & wait $!` : `exec ${command}`;
  const child = spawn("script", ["-qec", `stty cols ${columns} rows 24; ${started}`, "/dev/null"], {
    cwd: PROJECT,
    stdio: ["pipe", "pipe", "inherit"],
  });
  let screen = "";
  let done = 0;
  let at = 0;
  child.stdout.on("data", (chunk) => {
    screen += chunk;
    for (; done < steps.length; done++) {
      const found = steps[done][0].exec(screen.slice(at));
      if (!found) break;
      at += found.index + found[0].length;
      child.stdin.write(steps[done][1]);
    }
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, screen })));
}
