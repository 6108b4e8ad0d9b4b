// What `npm run doctor` does, once its command line is read (scripts/doctor.ts has the options).
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { join } from "node:path";
import type { Board } from "../../../boards/board";
import type { Options } from "../../doctor";
import { onlyPort, Port, PortClosed } from "../bench/port";
import { NoAnswer } from "../bench/prompt";
import { DeviceError, UsageError } from "../cli/exit";
import { show, showJson, showLines } from "../cli/show";
import { print } from "../cli/wrap";
import { checkNewFiles, writeNewFiles } from "../files/new_file";
import { readPrivateFile } from "../files/private_file";
import { boardNames, PROJECT, readBoard } from "../project";
import { type DriverFinding, examineDrivers } from "./drivers";
import { type Examination, examine } from "./examine";

/** Run the command. */
export async function run(options: Options): Promise<void> {
  if (!options.drivers && (options.noise || options.report || options.ssid || options.host))
    throw new UsageError("--ssid, --host, --noise and --report go with --drivers.");
  const password = options["wifi-password-file"]
    ? readPrivateFile(options["wifi-password-file"], 256, "a password")
        .toString("utf8")
        .replace(/\r?\n$/, "")
    : "";
  checkNewFiles(options.noise, options.report);
  const name = options.port ?? (await onlyPort());
  const boards = (await Promise.all(boardNames().map(readBoard))) as unknown as Board[];
  const say = (line: string) => void (options.json || print(line));
  try {
    const port = await Port.open(name);
    try {
      const examination = await examine(port, boards);
      for (const line of describe(name, examination)) say(line);
      let findings: DriverFinding[] | undefined;
      if (options.drivers) {
        if (examination.state.mode === "locked")
          throw new DeviceError(
            `${name}: its firmware holds the port, and drivers are looked at from the prompt: erase it first.`,
          );
        const board = options.board
          ? boards.find((each) => each.name === options.board)
          : examination.boards[0];
        if (!board) throw new DeviceError(`${name}: no file of boards/ is for it; name one with --board.`);
        say("");
        const report = await examineDrivers(port, {
          board,
          ssid: options.ssid,
          password,
          host: options.host,
          blocks: options.blocks,
          noiseBytes: options.noise ? NOISE_BYTES : 0,
          onFinding: (finding) => say(line(finding)),
        });
        findings = report.findings;
        const whole = {
          port: name,
          host: `${process.platform} ${release()}`,
          date: new Date().toISOString(),
        };
        const { state: _state, ...seen } = examination;
        const written = {
          ...whole,
          firmware: version(),
          board: board.name,
          ...seen,
          boards: undefined,
          findings,
        };
        const text = `${showLines(JSON.stringify(written, undefined, 2))}\n`;
        const noise = options.noise && report.noise.length > 0 ? options.noise : undefined;
        writeNewFiles([
          ...(noise ? [{ path: noise, bytes: report.noise }] : []),
          ...(options.report ? [{ path: options.report, bytes: Buffer.from(text) }] : []),
        ]);
        if (options.report) say(`\nThe report is in ${options.report}.`);
        if (noise) say(`${report.noise.length} bytes of raw noise are in ${noise}.`);
        else if (options.noise) say(`No noise came, and ${options.noise} was not written.`);
      }
      if (options.json) {
        const { state, interpreter, findings: needs, boards: found } = examination;
        const names = found.map((each) => each.name);
        console.log(showJson({ port: name, state, interpreter, boards: names, needs, drivers: findings }));
      }
      const bad = [...examination.findings, ...(findings ?? [])].filter(({ isGood }) => isGood === false);
      if (bad.length)
        throw new DeviceError(
          `${name}: ${bad.length === 1 ? "one thing is" : `${bad.length} things are`} not as needed.`,
        );
    } finally {
      port.close();
    }
  } catch (error) {
    if (error instanceof NoAnswer)
      throw new DeviceError(
        `${name}: nothing answers. Look at cable and power; 115,200 baud is right for all boards; is Espruino on the chip? ` +
          "boards/README.md has the lines that put it there.",
      );
    if (error instanceof PortClosed) throw new DeviceError(`${error.message}.`);
    throw error;
  }
}

const NOISE_BYTES = 125_000;

function describe(name: string, { state, interpreter, boards, findings }: Examination): string[] {
  if (state.mode === "locked")
    return [
      `${name}: our firmware, locked, of ${show(state.identity ?? "a device without an identity")}, check values ${show(String(state.checkValues))}`,
      `  to talk to it: npm run console -- --port ${name}`,
    ];
  const rows = findings.map(
    ({ what, found, isGood, advice }) =>
      `  ${isGood ? "good" : "BAD "}  ${what.padEnd(14)} ${found}${isGood ? "" : `\n        ${advice}`}`,
  );
  const isReady = findings.every(({ isGood }) => isGood);
  const keys = state.keyFile === "some" ? ", and a key that is no record" : "";
  return [
    `${name}: Espruino ${interpreter?.version} at its prompt, chip ${interpreter?.chip}${keys}`,
    ...rows,
    ...(isReady
      ? [
          `  next: npm run setup -- --port ${name} --ssid NAME --server HOST:8883   (it takes boards/${boards[0].name}.ts)`,
        ]
      : []),
  ];
}

function line({ name, isGood, text, seconds }: DriverFinding): string {
  const verdict = isGood === undefined ? "----" : isGood ? "good" : "BAD ";
  return `  ${verdict}  ${name.padEnd(34)} ${text} (${seconds.toFixed(1)} s)`;
}

function version(): string {
  return JSON.parse(readFileSync(join(PROJECT, "package.json"), "utf8")).version;
}
