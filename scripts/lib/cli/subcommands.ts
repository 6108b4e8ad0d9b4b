// Commands of several words: `npm run ledger -- verify FILE`. Each word is a row with its own option table (options.ts);
// the list that the command prints without a word is made from the rows.
import { runCommand, UsageError } from "./exit";
import { type Command, type OptionTable, type Parsed, parseCommand } from "./options";
import { wrap } from "./wrap";

export interface Subcommand {
  about: string;
  main(argv: string[]): Promise<void>;
}

/** One word: its table and what it does. */
export function subcommand<Table extends OptionTable>(
  row: Command<Table> & { run(options: Parsed<Table>, positionals: string[]): Promise<void> | void },
): Subcommand {
  return {
    about: row.about,
    async main(argv) {
      const parsed = parseCommand(row, argv);
      if (parsed) await row.run(parsed.options, parsed.positionals);
    },
  };
}

/** Take an option that must be there. */
export function needed<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new UsageError(`${what} is missing. See --help.`);
  return value;
}

/** Run the word that the command line begins with. */
export async function runSubcommands(
  name: string,
  about: string,
  commands: Record<string, Subcommand>,
): Promise<void> {
  await runCommand(name, async ([word, ...argv]) => {
    if (word === undefined || word === "--help" || word === "-h") {
      console.log(`usage: npm run ${name} -- COMMAND [options]\n\n${about} COMMAND --help says more.\n`);
      const width = Math.max(10, ...Object.keys(commands).map((key) => key.length));
      for (const [key, row] of Object.entries(commands))
        console.log(
          wrap(
            `  ${key.padEnd(width)}  ${row.about.replaceAll("\n", " ").split(". ")[0]}`,
            process.stdout.columns,
            width + 4,
          ),
        );
      if (word === undefined) throw new UsageError("which COMMAND?");
      return;
    }
    // Not shown: what stands there by mistake may be a secret.
    if (!Object.hasOwn(commands, word))
      throw new UsageError(`the first word is none of ${Object.keys(commands).join(", ")}.`);
    await commands[word].main(argv);
  });
}
