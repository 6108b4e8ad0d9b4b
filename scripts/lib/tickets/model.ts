// Spin on the tickets' model (tickets.pml): `spin` makes a verifier in C, which looks at every state.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DeviceError, UsageError } from "../cli/exit";
import { PROJECT } from "../project";

const MODEL = join(PROJECT, "scripts/lib/tickets/tickets.pml");

export interface Variant {
  about: string;
  /** A name that the model is told to be defined; empty: as it is coded. */
  define: string;
  /** The assertion that must fail; empty: none. */
  expected: string;
}

/** Of a session, both sides: its key is known to nobody else; it stands between these two, each in its role. */
const SECRET = "!(isKnown[k])";
const AGREED = "((acceptedBy[k]==other)&&(acceptedFrom[k]==me))";

export const VARIANTS: readonly Variant[] = [
  { about: "as it is coded", define: "", expected: "" },
  { about: "the same: two sessions may not both come to stand", define: "BOTH_END", expected: "(ends<2)" },
  { about: "the protocol of 1978", define: "PROTOCOL_1978", expected: SECRET },
  { about: "proofs without a role", define: "NO_ROLE", expected: AGREED },
  { about: "boxes without identities", define: "NO_NAMES", expected: SECRET },
];

export interface Result {
  /** The assertion that failed; empty: none, in any state. */
  found: string;
  states: number;
  /** What led there, as Spin tells it; empty where nothing failed. */
  trail: string;
}

/** Look at every state of a variant. Throws UsageError where spin or gcc is not there, DeviceError where they fail. */
export function checkModel({ define }: Pick<Variant, "define">): Result {
  const folder = mkdtempSync(join(tmpdir(), "model-"));
  const run = (command: string, ...args: string[]): string => {
    const { error, status, stdout, stderr } = spawnSync(command, args, { cwd: folder, encoding: "utf8" });
    if (error) throw new UsageError(`${command} does not run: apt-get install spin gcc.`);
    if (status !== 0) throw new DeviceError(`${command} failed: ${(stderr || stdout).trim()}`);
    return stdout;
  };
  const defines = define ? [`-D${define}`] : [];
  try {
    run("spin", "-a", ...defines, MODEL);
    run("gcc", "-O1", "-w", "-DSAFETY", "-o", "pan", "pan.c");
    // who waits for what never comes is no fault
    const report = run("./pan", "-E", "-m10000");
    const [, errors] = /errors: (\d+)/.exec(report) ?? [];
    const [, states] = /(\d+) states, stored/.exec(report) ?? [];
    const [, found = ""] = /assertion violated\s+(.+?)\s+\(at depth/.exec(report) ?? [];
    if (
      states === undefined ||
      /max search depth too small/.test(report) ||
      (errors === "0") !== (found === "")
    )
      throw new DeviceError(`the verifier did not end well:\n${report}`);
    const trail = found ? run("spin", "-t", "-p", "-k", "tickets.pml.trail", ...defines, MODEL) : "";
    return { found, states: Number(states), trail };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
