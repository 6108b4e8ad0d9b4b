// How every command of this project ends: 0 done, 1 the device (or what was asked of it) failed, 2 wrong usage.
// A UsageError or a DeviceError carries one sentence for people; anything else is a programming error and keeps its
// stack. Leaves out: logging, colours.
import { showLines } from "./show";
import { wrapLines } from "./wrap";

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** What was asked cannot be meant: a sentence, then exit 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** What was asked was tried and failed: a sentence, then exit 1. */
export class DeviceError extends Error {
  override name = "DeviceError";
}

/** Wait for Ctrl-C or a supervisor's wish. Called before a command says that Ctrl-C ends it: from then on it ends in order. */
export function interrupted(): Promise<void> {
  return new Promise((resolve) => void process.once("SIGINT", resolve).once("SIGTERM", resolve));
}

/** Run a command's main function, print its error as a sentence on stderr, and set the exit code. */
export async function runCommand(
  name: string,
  main: (argv: string[]) => Promise<void> | void,
): Promise<void> {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // The reader of a pipe (`| head`) has seen enough.
    if (error.code === "EPIPE") process.exit(EXIT_DONE);
    throw error;
  });
  try {
    await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UsageError) && !(error instanceof DeviceError)) throw error;
    console.error(wrapLines(`${name}: ${showLines(error.message)}`, process.stderr.columns));
    process.exitCode = error instanceof UsageError ? EXIT_USAGE : EXIT_FAILED;
  }
}
