// The technicians' page as a file to hand out: `make console-page` writes dist/console.html (what it is:
// lib/console/page.ts).
import { dirname, join } from "node:path";
import { runCommand } from "./lib/cli/exit";
import { option, parseCommand } from "./lib/cli/options";
import { makeFolder, replaceFile } from "./lib/files/new_file";
import { PROJECT } from "./lib/project";

const COMMAND = {
  usage: "npm run console-page --",
  about: "Make the technicians' page: one HTML file that needs nothing but a browser with Web Serial.",
  options: { out: option("FILE", "default dist/console.html") },
};

await runCommand("console-page", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const file = parsed.options.out ?? join(PROJECT, "dist", "console.html");
  makeFolder(dirname(file));
  const { consolePage } = await import("./lib/console/page_file");
  const page = await consolePage();
  replaceFile(file, Buffer.from(page));
  console.log(`${file}: ${Buffer.byteLength(page)} bytes`);
});
