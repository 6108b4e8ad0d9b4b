// The service desk, offline: a technician's challenge in, the answer out, computed with the console master. The challenge
// is typed, read out or pasted from a QR code; it is asked for where it is not given, as are role and minutes.
// Never prints a key. Leaves out who may have an answer: the desk asks that.
import { createInterface } from "node:readline/promises";
import { runCommand, UsageError } from "./lib/cli/exit";
import { flag, integer, oneOf, option, parseCommand } from "./lib/cli/options";
import { grouped } from "./lib/console/answer_text";
import { challengeAnswer, encodeBase32, ROLES, type Role } from "./lib/console/challenge";
import { type DeviceChallenge, parseChallenge } from "./lib/console/challenge_text";
import { parseRole } from "./lib/console/terminal";
import { openMaster } from "./lib/custody/master";
import { SECRET_OPTIONS, Secrets } from "./lib/custody/secrets";
import { SCHEME_NAMES } from "./lib/keys/kdf";

const minutesOf = integer(1, 255);

const COMMAND = {
  usage: "npm run unlock --",
  about:
    "Answer a device's challenge, so that a technician may unlock its console. What is not given is asked for, a line\n" +
    "each: the challenge, the role, the minutes.",
  options: {
    master: option("FILE|pkcs11:...", "the console master: a sealed file or a token (npm run keys)"),
    scheme: option(
      "NAME",
      `how keys are derived: ${SCHEME_NAMES.join(", ")}; default kdf, or what the master's place says`,
      oneOf(SCHEME_NAMES),
    ),
    challenge: option("TEXT", "UNLOCK IDENTITY NONCE BOOTS, as the device shows it", parseChallenge),
    role: option("ROLE", "service, or reset, which may wipe the device", parseRole),
    minutes: option("N", "how long it stays unlocked, 1 to 255", minutesOf),
    ...SECRET_OPTIONS,
    json: flag("for machines: one JSON object"),
  },
};

/** Questions at the terminal, asked again where the answer is none; or lines of a pipe, where it is refused. */
class Questions {
  private reader: ReturnType<typeof createInterface> | undefined;
  private lines: AsyncIterator<string> | undefined;

  async ask<T>(question: string, parse: (text: string) => T): Promise<T> {
    const isTerminal = process.stdin.isTTY === true;
    this.reader ??= createInterface({ input: process.stdin, output: process.stderr, terminal: isTerminal });
    this.lines ??= this.reader[Symbol.asyncIterator]();
    for (;;) {
      if (isTerminal) {
        this.reader.setPrompt(question);
        this.reader.prompt();
      }
      const { value, done } = await this.lines.next();
      if (done) throw new UsageError(`there is no answer to "${question.trim()}".`);
      try {
        return parse(value.trim());
      } catch (error) {
        if (!(error instanceof UsageError) || !isTerminal) throw error;
        console.error(error.message);
      }
    }
  }

  close(): void {
    this.reader?.close();
  }
}

await runCommand("unlock", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (!parsed) return;
  const { options } = parsed;
  if (!options.master) throw new UsageError("--master is missing: the console master. See --help.");
  const secrets = new Secrets(options, ["master"]);
  const wanted = { purpose: "console", scheme: options.scheme, secrets, name: "master" } as const;
  const master = await openMaster(options.master, wanted).finally(() => secrets.close());
  const questions = new Questions();
  try {
    const challenge =
      options.challenge ?? (await questions.ask("Challenge (UNLOCK IDENTITY NONCE BOOTS): ", parseChallenge));
    if (!options.json) console.error(understood(challenge));
    const role = options.role ?? (await questions.ask("Role (service or reset): ", parseRole));
    const minutes = options.minutes ?? (await questions.ask("Minutes (1 to 255): ", minutesOf));
    const { identity, nonce, boots } = challenge;
    const key = master.deviceKey(identity);
    let answer: string;
    try {
      answer = challengeAnswer(key, { role, nonce, boots, minutes });
    } finally {
      key.fill(0);
    }
    if (options.json) console.log(JSON.stringify({ identity: identity.text, role, minutes, answer }));
    else {
      console.error(`${roleText(role)}, ${minutes} minutes. The technician types:`);
      console.log(`unlock ${role} ${minutes} ${answer}`);
    }
  } finally {
    questions.close();
    master.close();
  }
});

/** The challenge as it was understood, to be read back. */
function understood({ identity, nonce, boots }: DeviceChallenge): string {
  return `${identity.text}  ${grouped(encodeBase32(nonce))}  boots ${boots}`;
}

function roleText(role: Role): string {
  return role === ROLES.reset ? "Reset: the technician may wipe the device, its keys as well" : "Service";
}
