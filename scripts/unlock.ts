// The service desk, offline: a technician's challenge in, the answer out, computed with the console master. The challenge
// is typed, read out or pasted from a QR code; it is asked for where it is not given, as are role and minutes.
// Never prints a key. Leaves out who may have an answer: the desk asks that.
import { runCommand } from "./lib/cli/exit";
import { flag, integer, oneOf, option, type Parsed, parseCommand } from "./lib/cli/options";
import { parseChallenge, parseRole } from "./lib/console/challenge_text";
import { SECRET_OPTIONS } from "./lib/custody/secrets";
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

export type Options = Parsed<(typeof COMMAND)["options"]>;

await runCommand("unlock", async (argv) => {
  const parsed = parseCommand(COMMAND, argv);
  if (parsed) await (await import("./lib/console/unlock_command")).run(parsed.options);
});
