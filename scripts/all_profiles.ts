// `make all-profiles`: build every profile (firmware/profiles.ts) for every board that has room for it, or for BOARD, and print what each
// takes. Writes no file: `make bundle PROFILE=NAME` does.
import { PROFILES } from "../firmware/profiles";
import { buildBundle } from "./lib/bundle/build";
import { SIZE_LIMIT } from "./lib/bundle/sizes";
import { DeviceError, runCommand } from "./lib/cli/exit";
import { flag, oneOf, option, parseCommand } from "./lib/cli/options";
import { boardNames, readBoard } from "./lib/project";

const COMMAND = {
  usage: "npm run all-profiles --",
  about: `Build every profile and print its bytes, of ${SIZE_LIMIT} that it may have.`,
  options: {
    board: option(
      "NAME",
      "only this board; default BOARD of the environment, or else all of them",
      oneOf(boardNames()),
    ),
    json: flag("for machines: one JSON array"),
  },
};

/** A profile on a board; no bytes: there is no room for it. */
interface Row {
  profile: string;
  board: string;
  bytes?: number;
}

await runCommand("all-profiles", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { json } = parsed.options;
  const only = parsed.options.board ?? (process.env.BOARD && oneOf(boardNames())(process.env.BOARD));
  const boards: string[] = [];
  for (const name of only ? [only] : boardNames())
    if (only || !(await readBoard(name)).simulates) boards.push(name);
  const profiles = Object.entries(PROFILES);
  const width = Math.max(...boards.map((name) => name.length)) + 2;
  if (!json) console.log(`${"".padEnd(12)}${boards.map((name) => name.padStart(width)).join("")}`);
  const rows: Row[] = [];
  const faults: string[] = [];
  for (const [profile, { noRoom = [] }] of profiles) {
    const row: Row[] = [];
    for (const board of boards) {
      const { simulates = board } = await readBoard(board);
      if (noRoom.includes(String(simulates))) {
        row.push({ profile, board });
        continue;
      }
      try {
        row.push({ profile, board, bytes: (await buildBundle({ board, profile })).sizes.total });
      } catch (error) {
        faults.push(`${profile}: ${(error as Error).message}`);
        row.push({ profile, board });
      }
    }
    rows.push(...row);
    if (!json)
      console.log(
        `${profile.padEnd(12)}${row.map(({ bytes }) => String(bytes ?? "no room").padStart(width)).join("")}  ${PROFILES[profile].about}`,
      );
  }
  if (faults.length > 0) throw new DeviceError(faults.join("\n"));
  const built = rows.flatMap(({ bytes }) => bytes ?? []);
  if (json) console.log(JSON.stringify(rows));
  else
    console.log(
      `${profiles.length} profiles, ${built.length} bundles: the largest has ${Math.max(...built)} of ${SIZE_LIMIT} bytes`,
    );
});
