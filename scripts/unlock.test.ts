// The service desk as people run it: challenge in, answer out, offline; what is no challenge, role or master is a sentence
// and exit 2; no key is shown anywhere.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { challengeAnswer, encodeBase32, type Role } from "./lib/console/challenge";
import { sealWithPassphrase } from "./lib/custody/sealed_file";
import { writeSecret } from "./lib/files/private_file";
import { parseIdentity } from "./lib/keys/identity";
import { deriveDeviceKey } from "./lib/keys/kdf";
import { randomKey } from "./lib/keys/weak_keys";
import { skipWithout } from "./lib/test/peers/install";
import { nodeArguments } from "./lib/test/program";

const ID = "v1.meter.SN0000041";
const NONCE = Buffer.from("a1b2c3d4e5f60718", "hex");
const BOOTS = 17;
const CHALLENGE = `UNLOCK ${ID} ${encodeBase32(NONCE)} ${BOOTS}`;
const PASSPHRASE = "bravo mint jigsaw 4 cedar owl";

const folder = mkdtempSync(join(tmpdir(), "unlock-"));
const at = (name: string) => join(folder, name);
const master = randomKey();
const key = deriveDeviceKey(master, parseIdentity(ID), "kdf", "console");
const answerTo = (role: Role, minutes: number) =>
  challengeAnswer(key, { role, nonce: NONCE, boots: BOOTS, minutes });

interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Run the desk; `lines` come from a pipe, `typed` at a terminal, one at each question. */
function desk(
  argv: string[],
  { lines = "", typed }: { lines?: string; typed?: string[] } = {},
): Promise<Outcome> {
  const command = [process.execPath, ...nodeArguments("scripts/unlock.ts", ...argv)];
  const [program, ...args] = typed
    ? ["script", "-qec", command.map((word) => `'${word}'`).join(" "), "/dev/null"]
    : command;
  return new Promise((resolve) => {
    const child = spawn(program, args);
    const outcome = { stdout: "", stderr: "" };
    let answered = 0;
    child.stdout.on("data", (chunk) => {
      outcome.stdout += chunk;
      const questions = outcome.stdout.match(/\): /g)?.length ?? 0;
      if (typed && questions > answered && answered < typed.length)
        child.stdin.write(`${typed[answered++]}\r`);
    });
    child.stderr.on("data", (chunk) => (outcome.stderr += chunk));
    if (!typed) child.stdin.end(lines);
    child.on("close", (code) => {
      for (const secret of [master, key])
        for (const form of ["hex", "base64", "latin1"] as const)
          assert.ok(
            !`${outcome.stdout}${outcome.stderr}`.toLowerCase().includes(secret.toString(form).toLowerCase()),
          );
      resolve({ code, ...outcome });
    });
  });
}

before(async () => {
  writeSecret(at("console"), master);
  const contents = {
    holds: "master",
    purpose: "console",
    scheme: "kdf",
    key: master.toString("hex"),
  } as const;
  const passphrase = Buffer.from(PASSPHRASE);
  writeSecret(at("console.age"), await sealWithPassphrase(contents, passphrase, 10));
  writeSecret(at("psk.age"), await sealWithPassphrase({ ...contents, purpose: "psk" }, passphrase, 10));
  writeFileSync(at("passphrase"), `${PASSPHRASE}\n`, { mode: 0o600 });
});
after(() => rmSync(folder, { recursive: true }));

test("R25 the answer to a challenge, from options or from a pipe; raw and sealed masters", async () => {
  const given = ["--challenge", CHALLENGE, "--role", "reset", "--minutes", "5"];
  const { code, stdout, stderr } = await desk(["--master", at("console"), ...given]);
  assert.deepEqual([code, stdout], [0, `unlock r 5 ${answerTo("r", 5)}\n`], stderr);
  assert.match(stderr, /^v1\.meter\.SN0000041 {2}\S+ {2}boots 17\nReset: .*5 minutes/);
  const sealed = ["--master", at("console.age"), "--passphrase-file", at("passphrase")];
  const piped = await desk(sealed, { lines: `${CHALLENGE.toLowerCase()}\nservice\n255\n` });
  // an identity is compared as bytes: in lower case it is another device's
  const other = deriveDeviceKey(master, parseIdentity(ID.toLowerCase()), "kdf", "console");
  const wanted = challengeAnswer(other, { role: "s", nonce: NONCE, boots: BOOTS, minutes: 255 });
  assert.deepEqual([piped.code, piped.stdout], [0, `unlock s 255 ${wanted}\n`], piped.stderr);
  const json = await desk([...sealed, "--json"], { lines: `${CHALLENGE}\ns\n1\n` });
  assert.deepEqual(JSON.parse(json.stdout), {
    identity: ID,
    role: "s",
    minutes: 1,
    answer: answerTo("s", 1),
  });
  assert.equal(json.stderr, "");
});

test("at a terminal what is no answer is asked again", { skip: skipWithout("script") }, async () => {
  const typed = ["SN1", CHALLENGE, "boss", "s", "0", "60"];
  const { code, stdout } = await desk(["--master", at("console")], { typed });
  assert.equal(code, 0, stdout);
  for (const sentence of [
    "a challenge is IDENTITY NONCE BOOTS",
    '"boss" is no role',
    '"0" is not a whole number',
  ])
    assert.ok(stdout.includes(sentence), stdout);
  assert.ok(stdout.includes(`unlock s 60 ${answerTo("s", 60)}`), stdout);
});

test("bad input is a sentence and exit 2, and no answer", async () => {
  const good = ["--master", at("console"), "--role", "s", "--minutes", "5", "--challenge", CHALLENGE];
  const without = (name: string) => good.filter((_, i) => good[i] !== name && good[i - 1] !== name);
  const sealed = ["--master", at("psk.age"), "--passphrase-file", at("passphrase")];
  const cases: [argv: string[], sentence: RegExp, lines?: string][] = [
    [without("--master"), /--master is missing/],
    [without("--challenge"), /there is no answer to "Challenge/],
    [without("--challenge"), /a challenge is IDENTITY/, "hello\n"],
    [without("--role"), /"" is no role/, "\n"],
    [without("--minutes"), /"256" is not a whole number/, "256\n"],
    [[...good, "more"], /"more" is more/],
    [[...good, "--nonsense"], /nonsense/],
    [[...without("--role"), "--role", "x"], /--role: "x"/],
    [[...without("--minutes"), "--minutes", "0"], /--minutes: "0"/],
    [[...without("--challenge"), "--challenge", `UNLOCK ${ID} 123 4`], /--challenge: "123" is no nonce/],
    [[...without("--master"), "--master", at("nothing")], /cannot read/],
    [[...without("--master"), ...sealed], /is the master psk/],
    [[...without("--master"), "--master", at("console.age")], /no terminal to ask for the passphrase/],
  ];
  for (const [argv, sentence, lines] of cases) {
    const { code, stdout, stderr } = await desk(argv, { lines });
    assert.equal(code, 2, `${argv.join(" ")}: ${stderr}`);
    assert.equal(stdout, "");
    assert.match(stderr, /(^|\n)unlock: [^\n]+\n$/);
    assert.match(stderr, sentence);
  }
});
