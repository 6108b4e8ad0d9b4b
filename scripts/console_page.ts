// The technicians' page as a file to hand out: `make console-page` writes dist/console.html (what it is:
// lib/console/page.ts).
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { PROJECT } from "./lib/bundle/build";
import { runCommand, UsageError } from "./lib/cli/exit";
import { option, parseCommand } from "./lib/cli/options";
import { consolePage } from "./lib/console/page_file";

const COMMAND = {
  usage: "npm run console-page --",
  about: "Make the technicians' page: one HTML file that needs nothing but a browser with Web Serial.",
  options: { out: option("FILE", "default dist/console.html") },
};

await runCommand("console-page", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const file = parsed.options.out ?? join(PROJECT, "dist", "console.html");
  const page = await consolePage();
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, page);
  } catch (error) {
    throw new UsageError(`cannot write ${file}: ${(error as Error).message}.`);
  }
  console.log(`${file}: ${Buffer.byteLength(page)} bytes`);
});
