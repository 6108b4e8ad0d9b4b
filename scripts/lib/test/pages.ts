// The project's pages and the commands that stand in them, for the tests that hold them to be true.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { PROJECT } from "../project";

/** The pages by their paths from the project's folder. */
export const PAGES: ReadonlyMap<string, string> = new Map(
  execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
    cwd: PROJECT,
    encoding: "utf8",
  })
    .split("\n")
    .filter((path) => path && path !== "CHANGELOG.md" && existsSync(join(PROJECT, path)))
    .map((path) => [path, readFileSync(join(PROJECT, path), "utf8")]),
);

export interface PageCommand {
  page: string;
  /** As it stands there, on one line. */
  text: string;
  /** The script's source: scripts/ota.ts. */
  script: string;
  args: string[];
}

/** Find every `npm start` and `npm run NAME -- ...` that a page shows, in a block or in a line. */
export function commandsOf(page: string, text: string): PageCommand[] {
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block]) => block);
  const spans = [...text.replace(/```[\s\S]*?```/g, "").matchAll(/`([^`]+)`/g)].map(([, span]) => span);
  const lines = [
    ...blocks
      .join("\n")
      .replace(/\\\n\s*/g, "")
      .split("\n"),
    ...spans,
  ];
  return lines.flatMap((line) => {
    const [, name, rest] = /\bnpm (?:run (?:-s )?)?(start|[\w-]+) -- ([^|>#]*)/.exec(line) ?? [];
    if (!name || /\.\.\.|…/.test(rest)) return [];
    const args = [...rest.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c);
    return [{ page, text: line.trim(), script: `scripts/${name.replaceAll("-", "_")}.ts`, args }];
  });
}
