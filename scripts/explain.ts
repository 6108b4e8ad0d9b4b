// Say in a sentence what an error code of the device means: `make explain E=532`.
// The sentences stand in lib/error_text.ts, the codes in firmware/tls/alert.ts.
import { errorText } from "./lib/cli/error_text";
import { runCommand, UsageError } from "./lib/cli/exit";
import { flag, parseCommand } from "./lib/cli/options";

const COMMAND = {
  usage: "npm run explain -- [CODE]",
  about: "Say in a sentence what an error code means that a device printed, for example E532 or 532.",
  options: { all: flag("every code that has a sentence"), json: flag("for machines: one JSON object") },
};

await runCommand("explain", (argv) => {
  const words = argv.filter((word) => !word.startsWith("-"));
  const parsed = parseCommand({ ...COMMAND, positionals: words.slice(0, 1).map(() => "CODE") }, argv);
  if (!parsed) return;
  const wanted = parsed.options.all ? Array.from({ length: 768 }, (_, code) => code) : [parseCode(words[0])];
  const sentences = wanted.flatMap((code) => {
    const text = errorText(code);
    const noise = parsed.options.all && text?.includes("unknown to the standards");
    return text && !noise ? [{ code, text }] : [];
  });
  if (sentences.length === 0)
    throw new UsageError(`${words[0]} is no error code of this device; --all lists them.`);
  if (parsed.options.json) console.log(JSON.stringify(parsed.options.all ? sentences : sentences[0]));
  else for (const { code, text } of sentences) console.log(`E${code}  ${text}`);
});

function parseCode(word: string | undefined): number {
  if (word === undefined) throw new UsageError("which code? For example: make explain E=532.");
  const match = /^E?=?(\d{1,5})$/i.exec(word);
  if (!match) throw new UsageError(`"${word}" is no error code; they look like E532 or 532.`);
  return Number(match[1]);
}
