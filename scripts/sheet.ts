// The technicians' sheet: `make sheet` writes dist/technician.pdf (what is on it: lib/console/sheet.ts).
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { runCommand } from "./lib/cli/exit";
import { option, parseCommand } from "./lib/cli/options";
import { makeFolder, replaceFile } from "./lib/files/new_file";
import { PROJECT } from "./lib/project";

const COMMAND = {
  usage: "npm run sheet --",
  about: "Draw the technicians' sheet: every command and every error of the console on one A4 paper.",
  options: { out: option("FILE", "default dist/technician.pdf") },
};

await runCommand("sheet", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const file = parsed.options.out ?? join(PROJECT, "dist", "technician.pdf");
  const { version } = JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")) as { version: string };
  makeFolder(dirname(file));
  const { sheetPdf } = await import("./lib/console/sheet");
  replaceFile(file, await sheetPdf(version));
  console.log(file);
});
