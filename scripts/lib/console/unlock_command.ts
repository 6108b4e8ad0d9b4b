// What `npm run unlock` does, once its command line is read (scripts/unlock.ts has the options).
import { createInterface } from "node:readline/promises";
import type { Options } from "../../unlock";
import { UsageError } from "../cli/exit";
import { integer } from "../cli/options";
import { showLines } from "../cli/show";
import { openMaster } from "../custody/master";
import { Secrets } from "../custody/secrets";
import { grouped } from "./answer_text";
import { challengeAnswer, encodeBase32, ROLES, type Role } from "./challenge";
import { type DeviceChallenge, parseChallenge, parseRole } from "./challenge_text";

const minutesOf = integer(1, 255);
/** Run the command. */
export async function run(options: Options): Promise<void> {
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
}

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
        console.error(showLines(error.message));
      }
    }
  }

  close(): void {
    this.reader?.close();
  }
}

/** The challenge as it was understood, to be read back. */
function understood({ identity, nonce, boots }: DeviceChallenge): string {
  return `${identity.text}  ${grouped(encodeBase32(nonce))}  boots ${boots}`;
}

function roleText(role: Role): string {
  return role === ROLES.reset ? "Reset: the technician may wipe the device, its keys as well" : "Service";
}
